"""Stems of 1, 2 and 3 channels, from random weights and from those of another modality."""

import pytest
import torch
from mmaction.registry import MODELS
from tiny_detectors import build as build_model
from tiny_detectors import distiller_config, losses_of, raw_batch
from torch import nn

import mmtad_decomp  # noqa: F401
from mmtad_decomp.models.backbones.stems import adapt_stem_weight, stem_weight_keys

BACKBONES = dict(
    tsm=dict(type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False, norm_eval=False),
    i3d=dict(type='InceptionI3D'),
    slowfast=dict(type='FusedSlowFast', depth=18),
)
STEMS = dict(
    tsm=['backbone.conv1.conv.weight'],
    i3d=['backbone.stem.conv.weight'],
    slowfast=['backbone.slow_path.conv1.conv.weight', 'backbone.fast_path.conv1.conv.weight'],
)


def build(kind, seed=0, backbone=None, **kwargs):
    torch.manual_seed(seed)
    config = dict(BACKBONES[kind], **(backbone or {}))
    return MODELS.build(dict(type='VideoEncoder', backbone=config, **kwargs))


def pretrained(path):
    return dict(type='Pretrained', checkpoint=str(path))


def rgb_file(tmp_path, kind, channels=3):
    state = build(kind, seed=5, in_channels=channels).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth', state


@pytest.mark.parametrize('channels', [1, 2, 3, 4, 6])
def test_average_by_hand(channels):
    weight = torch.randn(5, 3, 2, 7, 7)
    adapted = adapt_stem_weight(weight, channels, 'average')
    assert adapted.shape == (5, channels, 2, 7, 7)
    for channel in range(channels):
        expected = (weight[:, 0] + weight[:, 1] + weight[:, 2]) / channels
        torch.testing.assert_close(adapted[:, channel], expected)
    torch.testing.assert_close(adapted.sum(dim=1), weight.sum(dim=1))


def test_inflate_by_hand():
    weight = torch.randn(5, 3, 7, 7)
    r, g, b = weight.unbind(dim=1)
    for channels, taken in ((1, [r]), (2, [r, g]), (3, [r, g, b]), (5, [r, g, b, r, g])):
        expected = torch.stack(taken, dim=1) * 3 / channels
        torch.testing.assert_close(adapt_stem_weight(weight, channels, 'inflate'), expected)
    with pytest.raises(ValueError, match=r"stem_init must be one of .*'average'.* got 'mean'"):
        adapt_stem_weight(weight, 2, 'mean')


@pytest.mark.parametrize(
    ('kind', 'channels'),
    [(kind, channels) for kind in ('tsm', 'i3d') for channels in (1, 2, 3)] + [('slowfast', 2)],
)
def test_every_backbone_reads_any_number_of_channels(kind, channels):
    encoder = build(kind, in_channels=channels)
    encoder.init_weights()
    assert encoder.in_channels == channels
    assert stem_weight_keys(encoder.backbone, 'backbone.') == STEMS[kind]
    frames = torch.randn(2, 16, channels, 32, 32)
    masks = torch.ones(2, 16, dtype=torch.bool)
    feats, _ = encoder(frames, masks)
    feats.square().sum().backward()
    for key in STEMS[kind]:
        grad = encoder.get_parameter(key).grad
        assert grad.shape[1] == channels and grad.abs().sum(dim=(0, 2, 3)).gt(0).all()
    other = channels % 3 + 1
    with pytest.raises(ValueError, match=rf'has {other} channels.*reads {channels}: set `backb'):
        encoder(torch.randn(1, 16, other, 32, 32), masks[:1])


@pytest.mark.parametrize(
    ('kind', 'method', 'channels'),
    [('tsm', 'average', 1), ('tsm', 'inflate', 2), ('i3d', 'average', 2), ('i3d', 'inflate', 1)]
    + [('slowfast', 'average', 2)],
)
def test_rgb_weights_start_a_motion_stem(tmp_path, kind, method, channels):
    path, state = rgb_file(tmp_path, kind)
    encoder = build(kind, in_channels=channels, stem_init=method, init_cfg=pretrained(path))
    before = {name: id(p) for name, p in encoder.named_parameters()}
    encoder.init_weights()
    assert {name: id(p) for name, p in encoder.named_parameters()} == before
    for key, value in encoder.state_dict().items():
        expected = state[key]
        if key in STEMS[kind]:
            expected = adapt_stem_weight(expected, channels, method)
        assert torch.equal(value, expected), key


def test_weights_of_the_same_modality_are_loaded_as_they_are(tmp_path):
    path, state = rgb_file(tmp_path, 'i3d', channels=2)
    encoder = build(
        'i3d', backbone=dict(in_channels=2), stem_init='average', init_cfg=pretrained(path)
    )
    encoder.init_weights()
    key = STEMS['i3d'][0]
    assert torch.equal(encoder.state_dict()[key], state[key])
    rgb = build('i3d', stem_init='average', init_cfg=pretrained(path))
    rgb.init_weights()
    torch.testing.assert_close(rgb.state_dict()[key], adapt_stem_weight(state[key], 3, 'average'))


def test_weights_that_do_not_fit_are_refused_with_the_fix(tmp_path):
    path, _ = rgb_file(tmp_path, 'slowfast')
    encoder = build('slowfast', in_channels=2, init_cfg=pretrained(path))
    with pytest.raises(ValueError, match=r"reads? 3 channels.*2: set `backbone\.stem_init='aver"):
        encoder.init_weights()
    with pytest.raises(ValueError, match='stem_init must be one of'):
        build('tsm', stem_init='mean')


def test_a_whole_detector_initialises_with_an_adapted_stem(tmp_path):
    """MMEngine keeps a record of all parameters meanwhile, which must stay the same objects."""
    path, state = rgb_file(tmp_path, 'tsm')
    detector = MODELS.build(
        dict(
            type='TADDetector',
            backbone=dict(
                type='VideoEncoder',
                backbone=BACKBONES['tsm'],
                in_channels=2,
                stem_init='average',
                init_cfg=pretrained(path),
            ),
            neck=dict(type='TemporalProjection', in_channels=512, out_channels=8),
            head=dict(
                type='ActionFormerHead',
                num_classes=2,
                in_channels=8,
                num_levels=1,
                encoder=dict(embed_dims=8, window_size=3, num_heads=2),
            ),
        )
    )
    detector.init_weights()
    stem = detector.backbone.state_dict()[STEMS['tsm'][0]]
    assert torch.equal(stem, adapt_stem_weight(state[STEMS['tsm'][0]], 2, 'average'))


def as_torchvision(key):
    """The name that torchvision gives to one of MMAction2's ResNet weights."""
    key = key.removeprefix('backbone.').replace('.conv.net.', '.conv.')
    if 'downsample' in key:
        return key.replace('downsample.conv', 'downsample.0').replace(
            'downsample.bn', 'downsample.1'
        )
    stem, kind, leaf = key.rsplit('.', 2)
    return f'{stem}.{leaf}' if kind == 'conv' else f'{stem.replace("conv", "bn")}.{leaf}'


def test_imagenet_weights_start_a_flow_tsm(tmp_path):
    """The start of a TSM18 on flow: torchvision's file through ``pretrained2d``."""
    state = build('tsm', seed=5).state_dict()
    torch.save({as_torchvision(k): v for k, v in state.items()}, tmp_path / 'r18.pth')
    imagenet = dict(pretrained2d=True, pretrained=str(tmp_path / 'r18.pth'))
    encoder = build('tsm', backbone=imagenet, in_channels=2, stem_init='average')
    encoder.init_weights()
    for key, value in encoder.state_dict().items():
        expected = state[key]
        if key in STEMS['tsm']:
            expected = adapt_stem_weight(expected, 2, 'average')
        if not key.endswith('num_batches_tracked'):
            assert torch.equal(value, expected), key
    with pytest.raises(ValueError, match=r'r18\.pth read 3 channels, the encoder reads 2'):
        build('tsm', backbone=imagenet, in_channels=2).init_weights()


@MODELS.register_module(force=True)
class RedAndBlueInput(nn.Module):
    """A modality of two channels, made of the frames."""

    key = 'frames'
    channels = 2

    def forward(self, frames):
        return frames[:, :, ::2].float() / 255


def test_a_teacher_may_read_another_number_of_channels_than_its_student():
    config = distiller_config(None)
    config['distill']['teacher'] = dict(modality=dict(type='RedAndBlueInput'))
    with pytest.raises(ValueError, match=r'input has 2 channels.*set `backbone\.in_channels=2`'):
        build_model(config)
    config['distill']['teacher']['backbone'] = dict(in_channels=2)
    model = build_model(config)
    assert model.teacher.detector.backbone.backbone.conv.weight.shape[1] == 2
    assert model.student.backbone.backbone.conv.weight.shape[1] == 3
    assert all(torch.isfinite(loss) for loss in losses_of(model, raw_batch()).values())
    del config['student']['detector']['backbone']
    config['student']['detector']['neck']['in_channels'] = 3
    with pytest.raises(ValueError, match=r'teacher\.backbone: the teacher reads features'):
        build_model(config)
