"""I3D as the widely used PyTorch port computes it, from its names and shapes alone.

Written as functions over a state dict, in float64, with padding done by index arithmetic: an
independent statement of what the backbone and its converter must reproduce.
"""

import math

import torch

WIDTHS = {
    'Mixed_3b': (192, 64, 96, 128, 16, 32, 32),
    'Mixed_3c': (256, 128, 128, 192, 32, 96, 64),
    'Mixed_4b': (480, 192, 96, 208, 16, 48, 64),
    'Mixed_4c': (512, 160, 112, 224, 24, 64, 64),
    'Mixed_4d': (512, 128, 128, 256, 24, 64, 64),
    'Mixed_4e': (512, 112, 144, 288, 32, 64, 64),
    'Mixed_4f': (528, 256, 160, 320, 32, 128, 128),
    'Mixed_5b': (832, 256, 160, 320, 32, 128, 128),
    'Mixed_5c': (832, 384, 192, 384, 48, 128, 128),
}
"""Channels: input, b0, b1a, b1b, b2a, b2b, b3b."""

LAYOUT = (
    ('Conv3d_1a_7x7', 7, 2),
    ('pool', (1, 3, 3), (1, 2, 2)),
    ('Conv3d_2b_1x1', 1, 1),
    ('Conv3d_2c_3x3', 3, 1),
    ('pool', (1, 3, 3), (1, 2, 2)),
    'Mixed_3b',
    'Mixed_3c',
    ('pool', (3, 3, 3), (2, 2, 2)),
    'Mixed_4b',
    'Mixed_4c',
    'Mixed_4d',
    'Mixed_4e',
    'Mixed_4f',
    ('pool', (2, 2, 2), (2, 2, 2)),
    'Mixed_5b',
    'Mixed_5c',
)


def unit_shapes(in_channels=3):
    """Shape of every convolution by name, 57 of them, and the classifier's."""
    shapes = {
        'Conv3d_1a_7x7': (64, in_channels, 7, 7, 7),
        'Conv3d_2b_1x1': (64, 64, 1, 1, 1),
        'Conv3d_2c_3x3': (192, 64, 3, 3, 3),
    }
    for name, (inputs, b0, b1a, b1b, b2a, b2b, b3b) in WIDTHS.items():
        shapes[f'{name}.b0'] = (b0, inputs, 1, 1, 1)
        shapes[f'{name}.b1a'] = (b1a, inputs, 1, 1, 1)
        shapes[f'{name}.b1b'] = (b1b, b1a, 3, 3, 3)
        shapes[f'{name}.b2a'] = (b2a, inputs, 1, 1, 1)
        shapes[f'{name}.b2b'] = (b2b, b2a, 3, 3, 3)
        shapes[f'{name}.b3b'] = (b3b, inputs, 1, 1, 1)
    return shapes


def official_state(in_channels=3, seed=0, classes=400):
    """Random weights under the port's names."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    state = {}
    for name, shape in unit_shapes(in_channels).items():
        state[f'{name}.conv3d.weight'] = draw(*shape) * math.sqrt(2 / math.prod(shape[1:]))
        state[f'{name}.bn.weight'] = 1 + 0.1 * draw(shape[0])
        state[f'{name}.bn.bias'] = 0.1 * draw(shape[0])
        state[f'{name}.bn.running_mean'] = 0.1 * draw(shape[0])
        state[f'{name}.bn.running_var'] = 1 + 0.1 * draw(shape[0]).abs()
    state['logits.conv3d.weight'] = draw(classes, 1024, 1, 1, 1)
    state['logits.conv3d.bias'] = draw(classes)
    return state


def pad_axis(x, dim, kernel, stride):
    """TensorFlow: ceil(size / stride) outputs, the smaller half of the padding in front."""
    size = x.shape[dim]
    outputs = math.ceil(size / stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    shape = list(x.shape)
    shape[dim] = size + total
    padded = x.new_zeros(shape)
    padded.narrow(dim, total // 2, size).copy_(x)
    return padded


def pad(x, kernel, stride):
    for dim, (k, s) in enumerate(zip(kernel, stride), start=2):
        x = pad_axis(x, dim, k, s)
    return x


def triple(value):
    return value if isinstance(value, tuple) else (value,) * 3


def unit(state, name, x, kernel, stride=1):
    kernel, stride = triple(kernel), triple(stride)
    weight = state[f'{name}.conv3d.weight'].double()
    x = torch.nn.functional.conv3d(pad(x, kernel, stride), weight, stride=stride)

    def norm(part):
        return state[f'{name}.bn.{part}'].double().view(-1, 1, 1, 1)

    x = (x - norm('running_mean')) / (norm('running_var') + 1e-3).sqrt()
    return (x * norm('weight') + norm('bias')).clamp(min=0)


def pool(x, kernel, stride):
    x = pad(x, kernel, stride)
    for dim, (k, s) in enumerate(zip(kernel, stride), start=2):
        x = x.unfold(dim, k, s).amax(dim=-1)
    return x


def forward(state, clips):
    """``(N, C, T, H, W)`` to the output of Mixed_5c, float64."""
    x = clips.double()
    for layer in LAYOUT:
        if isinstance(layer, str):
            x = torch.cat(
                [
                    unit(state, f'{layer}.b0', x, 1),
                    unit(state, f'{layer}.b1b', unit(state, f'{layer}.b1a', x, 1), 3),
                    unit(state, f'{layer}.b2b', unit(state, f'{layer}.b2a', x, 1), 3),
                    unit(state, f'{layer}.b3b', pool(x, (3, 3, 3), (1, 1, 1)), 1),
                ],
                dim=1,
            )
        elif layer[0] == 'pool':
            x = pool(x, *layer[1:])
        else:
            x = unit(state, *layer[:1], x, *layer[1:])
    return x
