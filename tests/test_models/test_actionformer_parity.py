"""The head with converted weights against the official implementation."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData

import mmtad_decomp.models  # noqa: F401
from mmtad_decomp.structures import PointOutputs
from tools.model_converters.actionformer import convert_state_dict

pytest.importorskip('actionformer', reason='the official package "actionformer" is not installed')

from tools.benchmarks.actionformer_peer import official_actionformer, perturb

THUMOS = dict(
    official=dict(embd_dim=512, input_dim=2048, max_seq_len=2304, num_classes=20, window=19),
    ours=dict(num_classes=20, in_channels=2048),
)
THUMOS_SMALL = dict(
    official=dict(embd_dim=32, input_dim=24, max_seq_len=2304, num_classes=20, window=19),
    ours=dict(num_classes=20, in_channels=24, encoder=dict(embed_dims=32)),
)
ACTIVITYNET = dict(
    official=dict(
        embd_dim=64,
        input_dim=48,
        max_seq_len=192,
        num_classes=1,
        window=[7, 7, 7, 7, 7, -1],
        use_abs_pe=True,
        label_smoothing=0.1,
        init_loss_norm=200,
        loss_weight=2.0,
    ),
    ours=dict(
        num_classes=1,
        in_channels=48,
        max_seq_len=192,
        label_smoothing=0.1,
        loss_norm=200,
        loss_reg=dict(loss_weight=2.0),
        encoder=dict(embed_dims=64, window_size=[7] * 5 + [None], position_length=192),
    ),
)


def build_official(**sizes):
    model = official_actionformer(**sizes)
    perturb(model)
    return model.eval()


def build_pair(case, official=None, ours=None):
    torch.manual_seed(0)
    official = build_official(**case['official'], **(official or {}))
    options = {'offset_activation': 'relu', **case['ours'], **(ours or {})}
    head = MODELS.build(dict(type='ActionFormerHead', **options))
    norm = case['official'].get('init_loss_norm', 100)
    converted = convert_state_dict(official.state_dict(), prefix='', loss_norm=norm)
    head.load_state_dict(converted, strict=True)
    return official, head.eval()


@torch.no_grad()
def official_raw(model, feats):
    batch, mask = model.preprocessing([dict(feats=feats)])
    levels, masks = model.neck(*model.backbone(batch, mask))
    return PointOutputs(
        model.cls_head(levels, masks),
        model.reg_head(levels, masks),
        tuple(mask.squeeze(1) for mask in masks),
    )


def assert_same_outputs(ours, expected, length):
    for level, (logits, offsets, mask) in enumerate(zip(*ours)):
        steps = mask.shape[1]
        assert steps == -(-length // 2**level)
        assert torch.equal(mask, expected.masks[level][:, :steps])
        for mine, theirs in ((logits, expected.cls_logits), (offsets, expected.offsets)):
            torch.testing.assert_close(mine, theirs[level][..., :steps], atol=1e-4, rtol=1e-5)
        assert not expected.masks[level][:, steps:].any()


def random_feats(channels, length):
    return torch.randn(channels, length, generator=torch.Generator().manual_seed(length))


def check_lengths(case, lengths, **overrides):
    official, head = build_pair(case, **overrides)
    channels, max_len = case['official']['input_dim'], case['official']['max_seq_len']
    for length in lengths:
        feats = random_feats(channels, length)
        expected = official_raw(official, feats)
        with torch.no_grad():
            ours = head(feats[None], torch.ones(1, length, dtype=torch.bool))
        assert_same_outputs(ours, expected, length)
        spread = max(logits.std() for logits in ours.cls_logits)
        assert spread > 1e-2, 'logits hardly vary, so the comparison would prove nothing'
        if length < max_len:
            padded = torch.full((1, channels, max_len), 7.0)
            padded[0, :, :length] = feats
            mask = (torch.arange(max_len) < length)[None]
            with torch.no_grad():
                assert_same_outputs(head(padded, mask), expected, max_len)


@pytest.mark.slow
def test_raw_outputs_at_thumos_size():
    check_lengths(THUMOS, [2304, 500, 64])


def test_raw_outputs_at_any_length():
    check_lengths(THUMOS_SMALL, [2304, 500, 64, 1, 33, 2303, 2305, 2879, 2880])


def test_raw_outputs_with_global_level_and_positions():
    check_lengths(ACTIVITYNET, [192, 100, 64, 191, 193, 300])


def test_raw_outputs_with_top_down_pyramid():
    check_lengths(
        THUMOS_SMALL,
        [500, 64],
        official=dict(fpn_type='fpn'),
        ours=dict(pyramid=dict(top_down=True)),
    )


def test_raw_outputs_without_drop_path():
    encoder = dict(embed_dims=32, drop_path=0.0, layer_scale=None)
    check_lengths(THUMOS_SMALL, [64], official=dict(droppath=0.0), ours=dict(encoder=encoder))


def make_targets(length, num_classes, dtype=torch.float32):
    """Segments of all sizes, some that overlap, contain each other, or tie in length."""
    generator = torch.Generator().manual_seed(3)
    starts = torch.rand(40, generator=generator) * length * 0.9
    sizes = 2 ** (torch.rand(40, generator=generator) * 7 + 0.5)
    segments = torch.stack((starts, (starts + sizes).clamp(max=length)), dim=-1)
    twins = segments[:6]
    segments = torch.cat((segments, twins, twins[:2] + 1e-4, torch.tensor([[8.0, 16.0]])))
    labels = torch.randint(num_classes, (len(segments),), generator=generator)
    return segments.to(dtype), labels


@pytest.mark.parametrize('case', [THUMOS_SMALL, ACTIVITYNET], ids=['thumos', 'activitynet'])
def test_training_losses(case):
    # Dropping paths is random, so both train without it, but with the scale it comes with.
    official, head = build_pair(case)
    for module in (*official.modules(), *head.modules()):
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    official.train()
    head.train()
    channels, max_len = case['official']['input_dim'], case['official']['max_seq_len']
    videos, gt = [], []
    for length in (max_len, max_len // 3):
        segments, labels = make_targets(length, case['official']['num_classes'])
        videos.append(dict(feats=random_feats(channels, length), segments=segments, labels=labels))
        gt.append(InstanceData(segments=segments, labels=labels))
    videos.append(
        dict(
            feats=random_feats(channels, 40),
            segments=torch.zeros(0, 2),
            labels=torch.zeros(0, dtype=torch.long),
        )
    )
    gt.append(InstanceData(segments=torch.zeros(0, 2), labels=torch.zeros(0, dtype=torch.long)))
    batch, mask = official.preprocessing(videos)
    for _ in range(2):  # the second time the normaliser has moved
        expected = official(videos)
        outputs = head(batch, mask[:, 0])
        losses = head.loss_by_feat(outputs, gt)
        weight = case['official'].get('loss_weight', 1.0)
        torch.testing.assert_close(losses['loss_cls'], expected['cls_loss'], atol=0, rtol=1e-4)
        torch.testing.assert_close(
            losses['loss_reg'], weight * expected['reg_loss'], atol=0, rtol=1e-4
        )
        assert losses['loss_reg'] > 0
        torch.testing.assert_close(
            head.loss_norm.item(), official.loss_normalizer, atol=0, rtol=1e-6
        )
    sum(losses.values()).backward()
    expected['final_loss'].backward()
    official_grads = {k: v.grad for k, v in official.named_parameters()}
    grads = convert_state_dict(official_grads, prefix='')
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[name], atol=1e-4, rtol=1e-3)


def test_targets_are_the_official_ones():
    official, head = build_pair(THUMOS_SMALL)
    mask = torch.ones(1, 2304, dtype=torch.bool)
    masks = tuple(mask[:, :: 2**level] for level in range(6))
    outputs = PointOutputs(masks, masks, masks)
    segments, labels = make_targets(2304, 20)
    ours = head.targets(outputs, [InstanceData(segments=segments, labels=labels)])
    points = official.point_generator([mask[:, None] for mask in masks])
    expected = official.label_points(points, [segments], [labels])
    assert torch.equal(ours[0][0], expected[0][0])
    positive = expected[0][0].sum(-1) > 0
    assert positive.sum() > 100
    assert (expected[0][0].sum(-1) > 1).any()
    assert torch.equal(ours[1][0][positive], expected[1][0][positive])


@pytest.mark.parametrize('length', [2304, 300])
def test_candidates_before_nms(length):
    official, head = build_pair(THUMOS_SMALL)
    raw = official_raw(official, random_feats(24, length))
    points = official.point_generator(raw.cls_logits)
    expected = official.inference_single_video(
        points,
        [mask[0] for mask in raw.masks],
        [logits[0].T for logits in raw.cls_logits],
        [offsets[0].T for offsets in raw.offsets],
    )
    (ours,) = head.predict_by_feat(raw)
    assert len(ours) == len(expected['scores']) > 2000

    def rows(segments, scores, labels):
        table = torch.cat((scores[:, None], labels[:, None].float(), segments), dim=1)
        return sorted(map(tuple, table.tolist()))

    assert rows(ours.segments, ours.scores, ours.labels) == rows(
        expected['segments'], expected['scores'], expected['labels']
    )
