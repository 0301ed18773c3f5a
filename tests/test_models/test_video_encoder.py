"""VideoEncoder: windows, temporal shift, chunks, checkpointing, norms and pretrained weights."""

import copy

import pytest
import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401


def build(depth=18, seed=0, backbone=None, **kwargs):
    """An encoder around ResNetTSM."""
    torch.manual_seed(seed)
    config = dict(type='ResNetTSM', depth=depth, pretrained=None, pretrained2d=False)
    config.update(norm_eval=False, **(backbone or {}))
    return MODELS.build(dict(type='VideoEncoder', backbone=config, **kwargs))


def frames(windows=2, steps=4, size=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(windows, steps, 3, size, size, generator=generator)


def all_valid(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


@torch.no_grad()
def encode(encoder, x, masks=None):
    return encoder(x, all_valid(x) if masks is None else masks)[0]


@pytest.mark.parametrize('depth, blocks', [(18, 8), (50, 16)])
def test_temporal_shift_is_installed_and_survives_init(depth, blocks):
    encoder = build(depth)
    encoder.init_weights()
    shifts = [m for m in encoder.modules() if isinstance(m, TemporalShift)]
    assert len(shifts) == blocks
    assert {shift.shift_div for shift in shifts} == {8}


@pytest.mark.parametrize('steps', [1, 4, 6])
def test_equals_a_loop_over_windows(steps):
    encoder = build().eval()
    x = frames(2, steps)
    feats = encode(encoder, x)
    assert feats.shape == (2, 512, steps)
    with torch.no_grad():
        for window, actual in zip(x, feats):
            for module in encoder.modules():
                if isinstance(module, TemporalShift):
                    module.num_segments = steps
            expected = encoder.backbone(window).mean(dim=(2, 3)).T
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_shift_mixes_time_within_a_window_and_never_across():
    encoder = build().eval()
    x = frames(2, 8)
    before = encode(encoder, x)
    changed = x.clone()
    changed[0, 4] += 1
    after = encode(encoder, changed)
    differs = (before - after).abs().amax(dim=1) > 1e-6
    assert differs[0, 3] and differs[0, 5]
    assert not differs[1].any()
    torch.testing.assert_close(encode(encoder, x[1:]), before[1:], rtol=1e-4, atol=1e-5)


def test_shift_follows_the_window_from_batch_to_batch():
    encoder = build().eval()
    long, short = frames(2, 6), frames(3, 4)
    expected = encode(build().eval(), short)
    encode(encoder, long)
    torch.testing.assert_close(encode(encoder, short), expected)


def test_one_chunk_at_a_time_changes_nothing_in_eval_mode():
    x = frames(3)
    expected = encode(build().eval(), x)
    for chunk_size in (1, 2, 5):
        actual = encode(build(chunk_size=chunk_size).eval(), x)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('chunk_size', [None, 1])
def test_recomputing_changes_neither_gradients_nor_running_statistics(chunk_size):
    x = frames()
    states = []
    for with_cp in (False, True):
        encoder = build(with_cp=with_cp, chunk_size=chunk_size).train()
        feats, _ = encoder(x, all_valid(x))
        feats.square().sum().backward()
        grads = {name: p.grad for name, p in encoder.named_parameters()}
        states.append((feats.detach(), grads, dict(encoder.named_buffers())))
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-5)


def test_recomputing_leaves_norms_in_their_mode():
    encoder = build(with_cp=True).train()
    x = frames()
    encoder(x, all_valid(x))[0].sum().backward()
    assert all(norm.training and norm.momentum == 0.1 for norm in encoder._norms())


def test_channels_last_is_the_same():
    x = frames()
    encoder = build(channels_last=True).eval()
    weight = encoder.backbone.layer1[0].conv2.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    expected = encode(build().eval(), x)
    torch.testing.assert_close(encode(encoder, x), expected, rtol=1e-4, atol=1e-5)


def test_frozen_norms_stay_in_eval_mode_and_get_no_gradient():
    encoder = build(freeze_norm=True).train()
    norms = encoder._norms()
    assert norms and not any(norm.training for norm in norms)
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    x = frames()
    encoder(x, all_valid(x))[0].sum().backward()
    assert all(norm.weight.grad is None and norm.bias.grad is None for norm in norms)
    assert encoder.backbone.conv1.conv.weight.grad is not None
    torch.testing.assert_close(dict(encoder.named_buffers()), before, rtol=0, atol=0)


def test_masked_steps_are_zero():
    x = frames()
    masks = all_valid(x)
    masks[1, 2:] = False
    feats, out_masks = build().eval()(x, masks)
    assert out_masks is masks
    assert not feats[1, :, 2:].any() and feats[1, :, :2].any()


def test_missing_pretrained_file_is_named(tmp_path):
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))
    with pytest.raises(FileNotFoundError, match=r'none\.pth.*init_cfg=None'):
        build(init_cfg=init_cfg).init_weights()


def recognizer_file(path, depth=18):
    """A recognizer's checkpoint: backbone and classifier."""
    state = dict(build(depth, seed=5).state_dict())
    state['cls_head.fc_cls.weight'] = torch.zeros(4, 512)
    torch.save(dict(state_dict=state, meta={}), path)
    return state


def test_loads_the_backbone_of_a_recognizer(tmp_path):
    state = recognizer_file(tmp_path / 'tsm.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'tsm.pth'))
    encoder = build(init_cfg=init_cfg)
    encoder.init_weights()
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    recognizer_file(tmp_path / 'tsm.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'tsm.pth'))
    with pytest.raises(ValueError, match=r'tsm\.pth do not fit .*same depth'):
        build(50, init_cfg=init_cfg).init_weights()
    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'tsm.pth')
    with pytest.raises(ValueError, match='not in it'):
        build(init_cfg=init_cfg).init_weights()


@pytest.mark.parametrize('prefix', [None, 'detector.', 'backbone.backbone.'])
@pytest.mark.parametrize('place', ['backbone.', 'student.backbone.', 'student.detector.backbone.'])
def test_the_prefix_of_a_detector_is_named(tmp_path, place, prefix):
    """And it is the one that loads; without weights that fit, there is none to name."""
    state = {f'{place}{key}': value for key, value in build(seed=5).state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'detector.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'detector.pth'))
    with pytest.raises(ValueError, match='not in it') as caught:
        build(init_cfg=dict(init_cfg, prefix=prefix)).init_weights()
    assert f"set `backbone.init_cfg.prefix` to '{place}'" in str(caught.value)
    encoder = build(init_cfg=dict(init_cfg, prefix=place))
    encoder.init_weights()
    key = 'backbone.conv1.conv.weight'
    assert torch.equal(encoder.state_dict()[key], state[place + key])
    with pytest.raises(ValueError, match='same depth'):
        build(50, init_cfg=dict(init_cfg, prefix=prefix)).init_weights()


def as_torchvision(key):
    """The name that torchvision gives to one of MMAction2's ResNet weights."""
    key = key.removeprefix('backbone.').replace('.conv.net.', '.conv.')
    if 'downsample' in key:
        return key.replace('downsample.conv', 'downsample.0').replace(
            'downsample.bn', 'downsample.1'
        )
    stem, kind, leaf = key.rsplit('.', 2)
    return f'{stem}.{leaf}' if kind == 'conv' else f'{stem.replace("conv", "bn")}.{leaf}'


def test_imagenet_weights_reach_the_shifted_layers(tmp_path):
    """The start of the THUMOS'14 TSM18 config: torchvision's file through ``pretrained2d``."""
    state = build(seed=5).state_dict()
    torch.save({as_torchvision(k): v for k, v in state.items()}, tmp_path / 'r18.pth')
    encoder = build(backbone=dict(pretrained2d=True, pretrained=str(tmp_path / 'r18.pth')))
    encoder.init_weights()
    for key, value in encoder.state_dict().items():
        if not key.endswith('num_batches_tracked'):
            assert torch.equal(value, state[key]), key


def test_a_deep_copy_computes_the_same():
    encoder = build(with_cp=True, chunk_size=1).eval()
    x = frames()
    torch.testing.assert_close(encode(copy.deepcopy(encoder), x), encode(encoder, x))
