"""VideoEncoder on 3-D backbones: time, masks, chunks, checkpointing, frozen parts, refusals."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import nn

import mmtad_decomp  # noqa: F401
from mmtad_decomp.models.backbones.introspection import backbone_stages
from mmtad_decomp.structures import TADDataSample, TimeGrid

I3D = dict(type='InceptionI3D')
SLOWFAST = dict(type='FusedSlowFast', depth=18)
TSM = dict(type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False, norm_eval=False)


@MODELS.register_module(force=True)
class TinyClipNet(BaseModule):
    """Averages of 4 frames, then a convolution with BatchNorm: the smallest 3-D backbone."""

    feat_dim = 6
    temporal_stride = 4
    temporal_offset = 1.5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, stride=(1, 2, 2), padding=1)
        self.norm = nn.BatchNorm3d(6)
        self.blocks = nn.Conv3d(6, 6, 1)

    def stages(self):
        return [[self.conv, self.norm], [self.blocks]]

    def forward(self, clips):
        pooled = nn.functional.avg_pool3d(clips, (4, 1, 1))
        return self.blocks(torch.relu(self.norm(self.conv(pooled))))


def build(backbone, seed=0, **kwargs):
    torch.manual_seed(seed)
    config = dict(type=backbone) if isinstance(backbone, str) else dict(backbone)
    return MODELS.build(dict(type='VideoEncoder', backbone=config, **kwargs))


def frames(windows=2, steps=16, size=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(windows, steps, 3, size, size, generator=generator)


def all_valid(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


@torch.no_grad()
def encode(encoder, x):
    return encoder(x, all_valid(x))[0]


@pytest.mark.parametrize(
    ('backbone', 'stride', 'offset', 'multiple', 'channels'),
    [
        (TSM, 1, 0, 1, 512),
        (I3D, 8, 5, 8, 1024),
        (dict(I3D, temporal_strides=(2, 2, 1)), 4, 5, 4, 1024),
        (SLOWFAST, 4, 1.5, 8, 576),
        (dict(type='ResNet3d', depth=18), 2, 0.5, 2, 512),
        (dict(type='ResNet3d', depth=18, conv1_stride_t=2, pool1_stride_t=2), 8, 2, 8, 512),
        (dict(type='ResNet3d', depth=18, temporal_strides=(1, 2, 2, 1)), 8, 0.5, 8, 512),
        (dict(type='ResNet3d', depth=50, temporal_strides=(2, 1, 1, 1)), 4, 1, 4, 2048),
        (dict(type='ResNet3d', depth=18, with_pool1=False, pool1_stride_t=2), 2, 0.5, 2, 512),
        (dict(type='ResNet3dSlowOnly', depth=18, inflate=(0, 0, 1, 1)), 1, 0, 1, 512),
    ],
)
def test_time_follows_from_the_backbone(backbone, stride, offset, multiple, channels):
    encoder = build(backbone).eval()
    assert encoder.temporal_stride == stride
    assert encoder.temporal_offset == offset
    assert encoder.temporal_multiple == multiple
    assert encode(encoder, frames(1, 16)).shape == (1, channels, 16 // stride)


@pytest.mark.parametrize(
    'options',
    [dict(conv1_stride_t=2), dict(pool1_stride_t=2), dict(temporal_strides=(1, 2, 2, 1))],
)
def test_steps_of_resnet3d_are_centred_where_the_offset_says(options):
    encoder = build(dict(type='ResNet3d', depth=18, inflate=(0, 0, 0, 0), **options)).eval()
    x = frames(1, 64).requires_grad_()
    step = 16 // encoder.temporal_stride * 2
    encoder(x, all_valid(x))[0][0, :, step].sum().backward()
    seen = x.grad.abs().amax(dim=(0, 2, 3, 4)).nonzero().flatten()
    centre = (seen[0] + seen[-1]) / 2
    assert centre == encoder.temporal_offset + step * encoder.temporal_stride


def test_pools_space_and_keeps_windows_apart():
    encoder = build(I3D).eval()
    x = frames(2, 16, 64)
    feats = encode(encoder, x)
    with torch.no_grad():
        for window, actual in zip(x, feats):
            maps = encoder.backbone(window.transpose(0, 1)[None])
            torch.testing.assert_close(actual, maps.mean(dim=(3, 4))[0], rtol=1e-4, atol=1e-5)
    changed = x.clone()
    changed[0] += 1
    after = encode(encoder, changed)
    assert not torch.equal(after[0], feats[0])
    torch.testing.assert_close(after[1], feats[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('backbone', [I3D, SLOWFAST], ids=('i3d', 'slowfast'))
def test_one_window_at_a_time_changes_nothing_in_eval_mode(backbone):
    x = frames(3)
    expected = encode(build(backbone).eval(), x)
    for options in (dict(chunk_size=1), dict(chunk_size=2), dict(channels_last=True)):
        actual = encode(build(backbone, **options).eval(), x)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('chunk_size', [None, 1])
def test_recomputing_changes_neither_gradients_nor_running_statistics(chunk_size):
    x = frames(size=16)
    states = []
    for with_cp in (False, True):
        encoder = build('TinyClipNet', with_cp=with_cp, chunk_size=chunk_size).train()
        feats, _ = encoder(x, all_valid(x))
        feats.square().sum().backward()
        grads = {name: p.grad for name, p in encoder.named_parameters()}
        states.append((feats.detach(), grads, dict(encoder.named_buffers())))
    assert states[0][2]['backbone.norm.num_batches_tracked'] == (1 if chunk_size is None else 2)
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-5)


def test_a_step_is_valid_if_any_of_its_frames_is():
    x = frames(4, 16, 8)
    masks = torch.arange(16)[None] < torch.tensor([16, 9, 8, 1])[:, None]
    feats, steps = build('TinyClipNet').eval()(x, masks)
    assert steps.tolist() == [[True] * 4, [True] * 3 + [False], [True] * 2 + [False] * 2] + [
        [True] + [False] * 3
    ]
    assert torch.equal(feats.abs().sum(dim=1) > 0, steps)


@pytest.mark.parametrize(
    ('backbone', 'stem'),
    [(TSM, 'conv1'), (I3D, 'stem'), (SLOWFAST, 'slow_path.conv1')],
    ids=('tsm', 'i3d', 'slowfast'),
)
def test_frozen_stages_get_no_gradient_and_stay_in_eval_mode(backbone, stem):
    encoder = build(backbone, frozen_stages=1).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    x = frames(2, 8)
    encoder(x, all_valid(x))[0].square().sum().backward()
    trained = {name for name, p in encoder.named_parameters() if p.grad is not None}
    frozen = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert (
        trained.isdisjoint(frozen) and trained | frozen == dict(encoder.named_parameters()).keys()
    )
    assert any(name.startswith(f'backbone.{stem}.') for name in frozen)
    parts = {name.split('.')[1] for name in frozen} | {name.split('.')[2] for name in frozen}
    assert parts & {'layer1', 'stage1'} and not parts & {'layer2', 'stage2'}
    for name, value in encoder.named_buffers():
        owner = name.rpartition('.')[0]
        if any(key.startswith(owner + '.') for key in frozen):
            assert torch.equal(value, before[name]), name
    last = [m for m in encoder.backbone.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    assert last[-1].training and not last[0].training


def test_frozen_stages_are_checked():
    with pytest.raises(ValueError, match=r'frozen_stages=5: InceptionI3D has a stem and 4'):
        build(I3D, frozen_stages=5)
    assert not any(p.requires_grad for p in build('TinyClipNet', frozen_stages=1).parameters())
    stem = build(I3D, frozen_stages=0)
    frozen = [name for name, p in stem.named_parameters() if not p.requires_grad]
    assert len(frozen) == 3 and all(name.startswith('backbone.stem.') for name in frozen)


def test_norm_eval_freezes_statistics_and_freeze_norm_affine_parameters_too():
    x = frames(size=8)
    for options, trained in ((dict(norm_eval=True), True), (dict(freeze_norm=True), False)):
        encoder = build('TinyClipNet', **options).train()
        before = {name: value.clone() for name, value in encoder.named_buffers()}
        encoder(x, all_valid(x))[0].sum().backward()
        torch.testing.assert_close(dict(encoder.named_buffers()), before, rtol=0, atol=0)
        assert (encoder.backbone.norm.weight.grad is not None) == trained
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(encoder).train()
        assert isinstance(synced.backbone.norm, nn.SyncBatchNorm)
        assert not synced.backbone.norm.training


class SilentNet(nn.Module):
    """A 3-D backbone that says nothing of its time."""

    feat_dim = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)


@MODELS.register_module(force=True)
class LyingNet(TinyClipNet):
    """Says stride 2, has 4."""

    temporal_stride = 2


def test_backbones_that_cannot_be_placed_in_time_are_refused():
    MODELS.register_module(module=SilentNet, force=True)
    with pytest.raises(ValueError, match=r'SilentNet does not say.*temporal_stride'):
        build('SilentNet')
    with pytest.raises(ValueError, match=r'ResNet3dSlowFast does not say.*use FusedSlowFast'):
        build('ResNet3dSlowFast')
    with pytest.raises(ValueError, match='LyingNet made 4 steps of 16 frames'):
        encode(build('LyingNet'), frames(1, 16, 8))
    with pytest.raises(ValueError, match='SilentNet does not say what its stages are'):
        backbone_stages(SilentNet())


@pytest.mark.parametrize('backbone', [I3D, SLOWFAST], ids=('i3d', 'slowfast'))
def test_lengths_that_do_not_divide_are_refused(backbone):
    with pytest.raises(ValueError, match=r'12 frames.*multiple of 8.*pad_to.*such as 16'):
        encode(build(backbone), frames(1, 12))


def detector_config(backbone, modality='RGBInput', pad_to=16, **encoder):
    head = dict(
        type='ActionFormerHead',
        num_classes=2,
        in_channels=6,
        num_levels=2,
        encoder=dict(embed_dims=8, window_size=3, num_heads=2),
    )
    return dict(
        type='TADDetector',
        data_preprocessor=dict(
            type='TADDataPreprocessor', modality=dict(type=modality), pad_to=pad_to
        ),
        backbone=dict(type='VideoEncoder', backbone=backbone, **encoder),
        head=head,
    )


def detector(backbone, **options):
    torch.manual_seed(0)
    return MODELS.build(detector_config(backbone, **options))


def test_wrong_combinations_are_refused_when_the_detector_is_built():
    with pytest.raises(ValueError, match=r'12 frames, InceptionI3D needs a multiple of 8.*pad_to'):
        detector(I3D, pad_to=12)
    with pytest.raises(ValueError, match=r'input has 3 channels.*reads 2: set `backbone\.in_cha'):
        detector(I3D, in_channels=2)
    with pytest.raises(ValueError, match=r'data_preprocessor\.modality'):
        detector(TSM, modality='TemporalGradientInput', pad_to=5, in_channels=1)
    detector(TSM, pad_to=5)
    detector(I3D, pad_to=None)


def test_the_detector_converts_with_the_backbones_stride_and_offset():
    model = detector(dict(type='TinyClipNet'))
    model.backbone.temporal_offset = 3.0
    model.feature_offset = 3.0
    sample = TADDataSample(
        metainfo=dict(
            video_id='v', window=(20, 36), num_steps=16, time_grid=TimeGrid(fps=10, start=20)
        )
    )
    # Frame 20 is centred on 2.05 s; step 0 three frames later, step 1 another four.
    segments = torch.tensor([[2.35, 2.75], [2.35, 3.15]])
    sample.gt_instances = InstanceData(segments=segments, labels=torch.tensor([0, 1]))
    (target,) = model.targets([sample])
    torch.testing.assert_close(target.segments, torch.tensor([[0.0, 1.0], [0.0, 2.0]]))
    assert detector(I3D).feature_offset == 5 and detector(I3D).feature_stride == 8


def test_a_teacher_with_another_stride_or_offset_is_refused():
    mimics = dict(
        feature=dict(
            loss=dict(type='FeatureMimicLoss'),
            student=dict(source='backbone', item=0),
            teacher=dict(source='backbone', item=0),
        )
    )

    def distiller(teacher):
        return MODELS.build(
            dict(
                type='CrossModalDistiller',
                student=detector_config(dict(type='TinyClipNet')),
                distill=dict(teacher=dict(detector=detector_config(teacher)), mimics=mimics),
            )
        )

    distiller(dict(type='TinyClipNet'))
    with pytest.raises(ValueError, match=r"step lies at frame 1\.5, the teacher's at 5.*offset"):
        distiller(dict(I3D, temporal_strides=(2, 2, 1)))
    with pytest.raises(ValueError, match=r'step every 4 frames, the teacher every 8.*stride'):
        distiller(I3D)
