"""FusedSlowFast: both paths on one time axis, and E2E-TAD's upsampling."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.models.backbones.resnet3d_slowfast import ResNet3dSlowFast
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.models.backbones.fused_slowfast import sample_in_time


def build(depth=18, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='FusedSlowFast', depth=depth, **kwargs))


def test_slowfast50_has_stride_4_and_2304_channels():
    model = build(50)
    assert (model.temporal_stride, model.temporal_offset, model.temporal_multiple) == (4, 1.5, 8)
    assert model.feat_dim == 2304
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 16, 32, 32)).shape == (1, 2304, 4, 1, 1)


@pytest.mark.parametrize('upsample', [1, 2, 4, 8])
@torch.no_grad()
def test_is_mmaction2s_network_with_e2e_tads_interpolation(upsample):
    model = build(upsample=upsample).eval()
    clip = torch.randn(2, 3, 32, 64, 64)
    slow, fast = ResNet3dSlowFast.forward(model, clip)
    assert slow.shape[2:] == (4, 2, 2) and fast.shape[2:] == (32, 2, 2)
    slow, fast = (maps.mean(dim=(3, 4)).double() for maps in (slow, fast))
    scale = dict(mode='linear', align_corners=False)
    up = F.interpolate(slow, scale_factor=upsample, **scale)
    down = F.interpolate(fast, scale_factor=upsample / 8, **scale)
    feats = model(clip).mean(dim=(3, 4)).double()
    assert feats.shape == (2, 512 + 64, 32 * upsample // 8)
    torch.testing.assert_close(feats, torch.cat([up, down], dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('alignment', 'lag'), [('half_pixel', 3.5), ('exact', 0.0)])
@pytest.mark.parametrize(('upsample', 'speed_ratio'), [(1, 8), (2, 8), (2, 4), (8, 8)])
def test_each_path_is_read_at_the_frames_of_the_step(
    monkeypatch, alignment, lag, upsample, speed_ratio
):
    """Paths that return the number of the frame they have seen."""

    def numbers(self, clips):
        frames = torch.arange(clips.shape[2]).float()
        views = [frames[::rate].view(1, 1, -1, 1, 1) for rate in (8, 8 // speed_ratio)]
        return tuple(views)

    monkeypatch.setattr(ResNet3dSlowFast, 'forward', numbers)
    model = build(slow_alignment=alignment, upsample=upsample, speed_ratio=speed_ratio)
    slow, fast = model(torch.zeros(1, 3, 64, 1, 1))[0, :, :, 0, 0]
    centres = torch.arange(len(slow)) * model.temporal_stride + model.temporal_offset
    inside = (centres >= 4) & (centres <= 56)  # the slow path has seen frames 0 to 56
    assert inside.sum() >= 6
    torch.testing.assert_close(fast[inside], centres[inside])
    torch.testing.assert_close(slow[inside], centres[inside] - lag)


def test_interpolation_clamps_at_both_ends():
    maps = torch.tensor([[[1.0, 3.0, 7.0]]])
    positions = torch.tensor([-2.0, 0.0, 0.25, 1.5, 2.0, 9.0])
    expected = torch.tensor([[[1.0, 1.0, 1.5, 5.0, 7.0, 7.0]]])
    torch.testing.assert_close(sample_in_time(maps, positions), expected)
    assert sample_in_time(maps.bfloat16(), positions).dtype == torch.bfloat16


def test_options_reach_both_paths():
    model = build(channel_ratio=4, with_cp=True)
    assert model.fast_path.conv1.conv.out_channels == 16 and model.feat_dim == 512 + 128
    for path in (model.slow_path, model.fast_path):
        blocks = [block for name in path.res_layers for block in getattr(path, name)]
        assert len(blocks) == 8 and all(block.with_cp for block in blocks)
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 8, 16, 16)).shape[:3] == (1, 640, 2)


def test_stages_cover_the_network_once():
    model = build()
    stages = model.stages()
    assert len(stages) == 5
    held = [id(p) for stage in stages for module in stage for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert {conv.in_channels for conv in model.stem_convs()} == {3}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(upsample=3), r'resample_rate=8 must be a multiple.*upsample=3'),
        (dict(speed_ratio=3), r'resample_rate=8 must be a multiple of speed_ratio=3'),
        (dict(slow_alignment='nearest'), "must be 'half_pixel' or 'exact', got 'nearest'"),
    ],
)
def test_rates_that_do_not_divide_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
