"""InceptionI3D: 'SAME' padding, where its steps lie in time, and what training changes."""

import math

import pytest
import torch
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.models.backbones.inception_i3d import SameConv3d, SameMaxPool3d, same_padding


def build(**kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='InceptionI3D', **kwargs))
    model.init_weights()
    return model


@pytest.mark.parametrize('size', range(1, 12))
@pytest.mark.parametrize(('kernel', 'stride'), [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1), (2, 1)])
def test_same_padding_gives_ceil_outputs_and_no_more_than_needed(size, kernel, stride):
    front, behind = same_padding(size, kernel, stride)
    outputs = math.ceil(size / stride)
    assert (size + front + behind - kernel) // stride + 1 == outputs
    assert 0 <= behind - front <= 1
    if front + behind > 0:
        assert (size + front + behind - 1 - kernel) // stride + 1 < outputs


@pytest.mark.parametrize('size', [5, 6])
@pytest.mark.parametrize('stride', [1, 2])
def test_padded_layers_equal_their_sum_and_maximum(size, stride):
    x = torch.rand(1, 1, size, size, size)
    conv = SameConv3d(1, 1, 3, stride)
    torch.nn.init.ones_(conv.weight)
    pool = SameMaxPool3d(3, stride)
    front, _ = same_padding(size, 3, stride)
    begins = [step * stride - front for step in range(math.ceil(size / stride))]

    def seen(begin):
        return slice(max(begin, 0), begin + 3)

    for i, t in enumerate(begins):
        for j, h in enumerate(begins):
            patch = x[0, 0, seen(t), seen(h), seen(begins[0])]
            assert conv(x)[0, 0, i, j, 0].item() == pytest.approx(patch.sum().item(), rel=1e-5)
            assert pool(x)[0, 0, i, j, 0] == patch.max()


@pytest.mark.parametrize('in_channels', [1, 2, 3])
def test_shapes(in_channels):
    model = build(in_channels=in_channels).eval()
    with torch.no_grad():
        for steps, side in ((8, 32), (17, 40)):
            feats = model(torch.randn(1, in_channels, steps, side, side))
            assert feats.shape == (1, 1024, math.ceil(steps / 8), 1 + side // 40, 1 + side // 40)
    assert sum(p.numel() for p in build().parameters()) == 12_287_264


@pytest.mark.parametrize(
    ('strides', 'step', 'frames'),
    [((2, 2, 2), 14, 224), ((2, 2, 1), 24, 192), ((1, 2, 2), 14, 96), ((1, 1, 1), 32, 64)],
)
def test_steps_are_centred_where_the_offset_says(strides, step, frames):
    """The frames that a step depends on lie evenly around ``offset + step * stride``."""
    model = build(temporal_strides=strides).eval()
    clip = torch.randn(1, 3, frames, 32, 32, requires_grad=True)
    feats = model(clip)
    assert feats.shape[2] * model.temporal_stride == frames
    feats[0, :, step].sum().backward()
    seen = clip.grad.abs().amax(dim=(0, 1, 3, 4)).nonzero().flatten()
    first, last = seen[0].item(), seen[-1].item()
    assert first > 0 and last < frames - 1, 'choose a step whose frames all lie inside'
    assert (first + last) / 2 == model.temporal_offset + step * model.temporal_stride


def test_strides_leave_the_weights_as_they_are():
    names = {name: value.shape for name, value in build().state_dict().items()}
    other = build(temporal_strides=(2, 2, 1))
    assert other.temporal_stride == 4
    assert {name: value.shape for name, value in other.state_dict().items()} == names
    with pytest.raises(ValueError, match=r'temporal_strides are three.*\(2, 2\)'):
        build(temporal_strides=(2, 2))


def test_recomputing_changes_no_gradient():
    clip = torch.randn(2, 3, 8, 32, 32)
    grads = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp).train()
        for norm in model.modules():
            if isinstance(norm, torch.nn.BatchNorm3d):
                norm.eval()
        model(clip).square().sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    assert all(grad.abs().sum() > 0 for grad in grads[0].values())
    torch.testing.assert_close(grads[1], grads[0])


def test_weights_start_at_the_scale_that_keeps_activations():
    model = build()
    weight = model.stage2[0 + 1].branch1[1].conv.weight
    fan_out = weight.shape[0] * 27
    assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert all((m.eps, m.momentum) == (1e-3, 1e-2) for m in norms)
