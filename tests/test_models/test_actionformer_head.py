"""The ActionFormer head: shapes, masks, corner cases, training and decoding."""

import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.runner import load_state_dict
from mmengine.structures import InstanceData

import mmtad_decomp.models  # noqa: F401
from mmtad_decomp.structures import PointOutputs


def build(perturb=True, **options):
    """A small head; ``perturb`` moves norms and scales off their first values."""
    torch.manual_seed(0)
    options.setdefault('encoder', dict(embed_dims=16, window_size=5))
    options.setdefault('num_levels', 4)
    cfg = dict(type='ActionFormerHead', num_classes=3, in_channels=8, **options)
    head = MODELS.build(ConfigDict(cfg))
    for name, parameter in head.named_parameters():
        if perturb and ('norm' in name or name.endswith('scale')):
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    return head


def instances(*rows):
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)
    return InstanceData(segments=table[:, :2], labels=table[:, 2].long())


def tail_mask(*lengths, steps):
    return torch.arange(steps)[None] < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize('num_levels', [1, 3, 6])
@pytest.mark.parametrize('steps', [1, 7, 64, 100, 300])
def test_shapes_at_any_length(steps, num_levels):
    head = build(num_levels=num_levels)
    outputs = head(torch.randn(2, 8, steps), tail_mask(steps, steps // 2, steps=steps))
    assert len(outputs.masks) == num_levels
    for level, (logits, offsets, mask) in enumerate(zip(*outputs)):
        length = -(-steps // 2**level)
        assert logits.shape == (2, 3, length)
        assert offsets.shape == (2, 2, length)
        assert mask.shape == (2, length) and mask.dtype == torch.bool
        assert (offsets >= 0).all()
        assert (logits.transpose(1, 2)[~mask] == 0).all()
        assert mask[1].sum() == -(-(steps // 2) // 2**level)


@pytest.mark.parametrize('top_down', [False, True])
def test_padding_changes_nothing(top_down):
    head = build(pyramid=dict(top_down=top_down)).eval()
    for length in (1, 21, 32, 40):
        feats = torch.randn(1, 8, length)
        alone = head(feats, torch.ones(1, length, dtype=torch.bool))
        for steps in (41, 64, 97):
            batch = torch.full((2, 8, steps), float('nan'))
            batch[0, :, :length] = feats
            batch[1] = torch.randn(8, steps)
            padded = head(batch, tail_mask(length, steps, steps=steps))
            for mine, theirs in zip(alone.cls_logits + alone.offsets, padded[0] + padded[1]):
                torch.testing.assert_close(mine[0], theirs[0, :, : mine.shape[2]])
            assert all(not mask[0, m.shape[1] :].any() for mask, m in zip(padded[2], alone[2]))


def test_single_step():
    head = build()
    outputs = head(torch.randn(1, 8, 1), torch.ones(1, 1, dtype=torch.bool))
    losses = head.loss_by_feat(outputs, [instances((-1, 1, 0))])
    sum(losses.values()).backward()
    assert losses['loss_reg'] > 0


@pytest.mark.parametrize('steps', [5, 6, 8])
def test_a_segment_can_be_served_if_it_alone_gets_a_target(steps):
    head = build(num_levels=3)
    outputs = head(torch.randn(1, 8, steps), torch.ones(1, steps, dtype=torch.bool))
    grid = torch.arange(-2, steps + 3) * 1.5
    segments = torch.cartesian_prod(grid, grid)
    segments = segments[segments[:, 0] < segments[:, 1]]
    served = [head.targets(outputs, [instances((*s, 0))])[0].any() for s in segments.tolist()]
    assert any(served) and not all(served)
    assert head.can_serve(segments, steps).tolist() == served


def test_offsets_begin_at_two_strides():
    head = build(perturb=False)
    bias = head.reg_branch.predictor.conv.bias
    torch.testing.assert_close(torch.nn.functional.softplus(bias), torch.full((2,), 2.0))
    outputs = head(torch.randn(2, 8, 64), tail_mask(64, 40, steps=64))
    for offsets, mask in zip(outputs.offsets, outputs.masks):
        assert (offsets.transpose(1, 2)[mask] - 2).abs().max() < 1.5
        assert (offsets.transpose(1, 2)[~mask] == 0).all()


@pytest.mark.parametrize('activation', ['softplus', 'relu'])
@pytest.mark.parametrize('dead_side', [0, 1])
def test_only_relu_loses_the_gradient_of_an_offset(activation, dead_side):
    head = build(offset_activation=activation)
    predictor = head.reg_branch.predictor.conv
    with torch.no_grad():
        predictor.bias[dead_side], predictor.bias[1 - dead_side] = -20.0, 2.0
    outputs = head(torch.randn(1, 8, 32), torch.ones(1, 32, dtype=torch.bool))
    head.loss_by_feat(outputs, [instances((4, 12, 0))])['loss_reg'].backward()
    alive = [bool(predictor.bias.grad[side] != 0) for side in (0, 1)]
    assert alive[1 - dead_side]
    assert alive[dead_side] == (activation == 'softplus')


@pytest.mark.parametrize('strict', [True, False])
def test_weights_of_another_activation_are_refused(strict):
    heads = {name: build(offset_activation=name) for name in ('softplus', 'relu')}
    for name, head in heads.items():
        other = heads['relu' if name == 'softplus' else 'softplus']
        with pytest.raises(RuntimeError, match=f"offset_activation='{name}'"):
            load_state_dict(other, head.state_dict(), strict=strict)
        load_state_dict(head, head.state_dict(), strict=strict)
    unmarked = heads['relu'].state_dict()
    del unmarked['reg_branch.activation']
    heads['relu'].load_state_dict(unmarked)
    with pytest.raises(RuntimeError, match="Set the option of the head to 'relu'"):
        load_state_dict(heads['softplus'], unmarked, strict=strict)
    classifier = {k: v for k, v in unmarked.items() if not k.startswith('reg_branch')}
    heads['softplus'].load_state_dict(classifier, strict=False)
    with pytest.raises(ValueError, match=r"\['relu', 'softplus'\], got 'exp'"):
        build(offset_activation='exp')


def test_normalizer_follows_positives_while_training_only():
    head = build(loss_norm=50.0)
    outputs = head(torch.randn(1, 8, 32), torch.ones(1, 32, dtype=torch.bool))
    labels, _ = head.targets(outputs, [instances((4, 12, 0))])
    positives = (labels.sum(-1) > 0).sum().item()
    assert positives > 0
    head.eval()
    head.loss_by_feat(outputs, [instances((4, 12, 0))])
    assert head.loss_norm == 50
    head.train()
    head.loss_by_feat(outputs, [instances((4, 12, 0))])
    torch.testing.assert_close(head.loss_norm.item(), 0.9 * 50 + 0.1 * positives)
    head.loss_norm.fill_(50)
    head.loss_by_feat(outputs, [instances()])  # counts as one
    torch.testing.assert_close(head.loss_norm.item(), 0.9 * 50 + 0.1 * 1)
    assert 'loss_norm' in head.state_dict()


def focal(logit, y):
    p = 1 / (1 + math.exp(-logit))
    weight = (0.25 * y + 0.75 * (1 - y)) * (1 - (p * y + (1 - p) * (1 - y))) ** 2
    return -weight * (y * math.log(p) + (1 - y) * math.log(1 - p))


def diou(left, right, other_left, other_right):
    inter = min(left, other_left) + min(right, other_right)
    union = left + right + other_left + other_right - inter
    apart = (right - left) / 2 - (other_right - other_left) / 2
    return 1 - inter / union + (apart / (max(left, other_left) + max(right, other_right))) ** 2


@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_losses_equal_the_formulas(smoothing):
    """Point by point; one segment has two classes, and one goes on in the padding."""
    head = build(loss_norm=50.0, label_smoothing=smoothing)
    outputs = head(torch.randn(2, 8, 32), tail_mask(32, 20, steps=32))
    logits = [torch.randn_like(x) for x in outputs.cls_logits]
    offsets = [2 * torch.rand_like(x) for x in outputs.offsets]
    outputs = PointOutputs(tuple(logits), tuple(offsets), outputs.masks)
    gt = [instances((4, 12, 0), (4, 12, 2), (20, 23, 1)), instances((14, 26, 1))]
    labels, wanted = (x.tolist() for x in head.targets(outputs, gt))
    valid, logits, offsets = (
        torch.cat(tuple(levels), dim=-1).tolist() for levels in (outputs.masks, logits, offsets)
    )
    cls = reg = positives = hidden = 0
    for n in range(2):
        for t, classes in enumerate(labels[n]):
            if not valid[n][t]:
                hidden += any(classes)
                continue
            goals = [y * (1 - smoothing) + smoothing / 4 for y in classes]
            cls += sum(focal(logits[n][k][t], y) for k, y in enumerate(goals))
            if any(classes):
                positives += 1
                reg += diou(offsets[n][0][t], offsets[n][1][t], *wanted[n][t])
    assert positives and hidden
    norm = 0.9 * 50 + 0.1 * positives
    losses = head.loss_by_feat(outputs, gt)
    assert losses['loss_cls'].item() == pytest.approx(cls / norm, rel=1e-5)
    assert losses['loss_reg'].item() == pytest.approx(reg / norm, rel=1e-5)


def test_decoding():
    head = build(nms_pre=2, score_thr=0.5, min_length=1.0)
    masks = tuple(torch.ones(1, n, dtype=torch.bool) for n in (8, 4, 2, 1))
    masks[0][0, 7] = False
    logits = [torch.full((1, 3, mask.shape[1]), -9.0) for mask in masks]
    offsets = [torch.ones(1, 2, mask.shape[1]) for mask in masks]
    logits[0][0, 1, 2], logits[0][0, 2, 3], logits[0][0, 0, 4] = 3.0, 2.0, 1.0
    logits[0][0, 0, 7] = 9.0
    logits[1][0, 0, 1] = 0.0  # scores 0.5, which is not above it
    offsets[0][0, :, 3] = 0.5
    logits[2][0, 0, 1] = 4.0
    offsets[2][0, :, 1] = torch.tensor([0.25, 2.0])
    (candidates,) = head.predict_by_feat(PointOutputs(tuple(logits), tuple(offsets), masks))
    assert candidates.segments.tolist() == [[1, 3], [3, 12]]
    assert candidates.labels.tolist() == [1, 0]
    torch.testing.assert_close(candidates.scores, torch.tensor([3.0, 4.0]).sigmoid())


def test_prior_and_options():
    head = MODELS.build(
        dict(
            type='ActionFormerHead',
            num_classes=3,
            in_channels=8,
            num_levels=2,
            encoder=dict(embed_dims=16, window_size=[5, None], num_stem_layers=1),
            pyramid=dict(top_down=True, out_channels=12),
            head_channels=20,
            num_head_layers=2,
            prior_prob=0.1,
            point_generator=dict(regress_ranges=[(0, 8), (8, 64)], use_offset=True),
        )
    )
    bias = head.cls_branch.predictor.conv.bias
    torch.testing.assert_close(bias.sigmoid(), torch.full((3,), 0.1))
    outputs = head(torch.randn(1, 8, 10), torch.ones(1, 10, dtype=torch.bool))
    assert head.points(outputs)[0].positions[0] == 0.5
    assert len(head.cls_branch.convs) == 1


def test_learns_to_find_a_segment():
    encoder = dict(embed_dims=16, window_size=5, layer_scale=1.0)
    head = build(perturb=False, encoder=encoder, loss_norm=10.0)
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    masks = torch.ones(8, 48, dtype=torch.bool)
    for _ in range(60):
        feats, gt = 0.3 * torch.randn(8, 8, 48), []
        for n, start in enumerate(torch.randint(2, 25, (8,)).tolist()):
            end = start + 4 + 2 * n
            feats[n, 0, start : end + 1] += 3
            gt.append(instances((start, end, 1)))
        losses = head.loss_by_feat(head(feats, masks), gt)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    head.eval()
    for candidates, truth in zip(head.predict_by_feat(head(feats, masks)), gt):
        best = candidates.scores.argmax()
        assert candidates.labels[best] == 1
        assert (candidates.segments[best] - truth.segments[0]).abs().max() < 1.5


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(encoder=dict(embed_dims=16, window_size=[5, 5])), 'one per level'),
        (dict(encoder=dict(embed_dims=18)), 'num_heads=4'),
        (dict(encoder=dict(embed_dims=16), prior_prob=0.0), 'prior_prob'),
        (dict(encoder=dict(embed_dims=16), pyramid=dict(out_channels=8)), 'top_down'),
        (dict(encoder=dict(embed_dims=16), num_levels=0), 'num_levels'),
    ],
)
def test_bad_options(options, message):
    cfg = dict(type='ActionFormerHead', num_classes=3, in_channels=8, num_levels=4)
    with pytest.raises(ValueError, match=message):
        MODELS.build({**cfg, **options})


@pytest.mark.parametrize('position_length', [None, 64])
def test_padding_beyond_the_longest_sequence_changes_nothing(position_length):
    """ActionFormer pads to 64 here, and longer inputs to multiples of 32."""
    encoder = dict(embed_dims=16, window_size=5, position_length=position_length)
    head = build(max_seq_len=64, encoder=encoder).eval()
    for length in (20, 56, 57, 63, 64, 65, 89, 95, 96):
        feats = torch.randn(1, 8, length)
        alone = head(feats, torch.ones(1, length, dtype=torch.bool))
        for steps in (97, 130):
            batch = torch.randn(4, 8, steps)
            batch[1, :, :length] = feats
            padded = head(batch, tail_mask(steps, length, 30, steps, steps=steps))
            for kind in ('cls_logits', 'offsets', 'masks'):
                for one, many in zip(getattr(alone, kind), getattr(padded, kind)):
                    assert many.shape[0] == 4
                    rest = many[1, ..., one.shape[-1] :]
                    torch.testing.assert_close(many[1, ..., : one.shape[-1]], one[0])
                    assert not rest.any()
