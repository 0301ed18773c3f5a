"""AFSDHead: shapes, padding, losses, candidates, and its place in detectors and distillers."""

import math

import pytest
import torch
from boundary_reference import reference
from mmengine.structures import InstanceData
from tiny_detectors import (
    AFSD_HEAD,
    NUM_CLASSES,
    afsd_detector,
    build,
    check_distillation,
    reaches,
)

from mmtad_decomp.models.layers import MAX_EXPORTED_STEPS
from mmtad_decomp.models.losses import BoundaryActivationLoss
from mmtad_decomp.models.task_modules import boundary_targets

LOSSES = {
    'loss_coarse_cls',
    'loss_coarse_reg',
    'loss_refined_cls',
    'loss_refined_reg',
    'loss_quality',
    'loss_boundary',
}


def make(seed=0, **kwargs):
    return build(dict(AFSD_HEAD, **kwargs), seed)


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def instances(*segments, labels=None):
    segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    labels = torch.zeros(len(segments)) if labels is None else torch.tensor(labels)
    return InstanceData(segments=segments, labels=labels.long())


def features(batch, steps, seed=0):
    return torch.randn(batch, 16, steps, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('steps', [1, 2, 7, 12])
@pytest.mark.parametrize('sizes', [{}, dict(first_stride=1, fine_scale=3, num_levels=1)])
def test_any_length(steps, sizes):
    head, masks = make(**sizes), prefix_masks((steps, max(steps - 1, 0), 0), steps)
    outputs = head(features(3, steps), masks)
    strides = head.pyramid.strides
    assert strides == ((1,) if sizes else (2, 4, 8))
    lengths = [math.ceil(steps / stride) for stride in strides]
    for part in (outputs.coarse, outputs.refined):
        assert [x.shape for x in part.cls_logits] == [(3, NUM_CLASSES, n) for n in lengths]
        assert [x.shape for x in part.offsets] == [(3, 2, n) for n in lengths]
    assert [x.shape for x in outputs.quality] == [(3, n) for n in lengths]
    fine = steps * head.fine_scale
    shapes = [part.activations().shape for part in outputs.boundaries]
    assert shapes == [(3, 2, fine), (3, 2, lengths[0]), (3, 2, lengths[0])]
    losses = head.loss_by_feat(outputs, [instances((-3, 20)), instances(), instances()])
    assert set(losses) == LOSSES and all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)
    candidates = make(score_thr=0, min_length=-math.inf, **sizes).predict_by_feat(outputs)
    valid = sum(int(mask[0].sum()) for mask in outputs.masks)
    assert len(candidates[0].scores) == NUM_CLASSES * valid
    assert len(candidates[2].scores) == 0


@pytest.mark.parametrize('sizes', [{}, dict(first_stride=1, fine_scale=2)])
def test_padding_changes_nothing(sizes):
    head = make(**sizes).double()
    feats, gt = features(1, 7).double(), [instances((1.2, 4.5), (0, 7), labels=[0, 2])]
    plain = head(feats, prefix_masks((7,), 7))
    noise = torch.full((1, 16, 6), 50.0).double()
    padded = head(torch.cat((feats, noise), dim=2), prefix_masks((7,), 13))
    for own, other in ((plain.coarse, padded.coarse), (plain.refined, padded.refined)):
        for field in ('cls_logits', 'offsets'):
            for a, b in zip(getattr(own, field), getattr(other, field)):
                torch.testing.assert_close(b[..., : a.shape[-1]], a)
                assert not b[..., a.shape[-1] :].any()
    losses = [head.loss_by_feat(outputs, gt) for outputs in (plain, padded)]
    for name in LOSSES:
        torch.testing.assert_close(losses[1][name], losses[0][name])
    own, other = head.predict_by_feat(plain)[0], head.predict_by_feat(padded)[0]
    torch.testing.assert_close(own.scores, other.scores)
    torch.testing.assert_close(own.segments, other.segments)


def test_refined_losses_leave_the_coarse_predictions_alone():
    head = make(refine_iou=0.0)
    outputs = head(features(1, 12), prefix_masks((12,), 12))
    losses = head.loss_by_feat(outputs, [instances((1, 9))])
    for name in ('loss_refined_cls', 'loss_refined_reg', 'loss_quality'):
        assert reaches(losses[name], head.pyramid)
        assert not reaches(losses[name], head.offsets) and not reaches(
            losses[name], head.classifier
        )
    assert not reaches(losses['loss_quality'], head.refined_offsets), 'its target is fixed'


def test_a_segment_that_just_reaches_the_tiou_is_refined():
    head, gt = make(), [instances((1, 9))]
    outputs = head(features(1, 12), prefix_masks((12,), 12))
    labels, offsets = head.targets(outputs, gt)
    halves = (0.5 * offsets).transpose(1, 2).split([6, 3, 2], dim=2)
    outputs = outputs._replace(coarse=outputs.coarse._replace(offsets=halves))
    losses = head.loss_by_feat(outputs, gt)
    gap = (torch.cat(outputs.refined.offsets, dim=2).transpose(1, 2) - offsets)[labels.any(-1)]
    half = 0.25 * offsets.sum(-1, keepdim=True)[labels.any(-1)]
    assert losses['loss_refined_reg'].item() == pytest.approx(
        10 * (gap / half).abs().sum().item() / len(gap), rel=1e-5
    )


@pytest.mark.slow
def test_compiled_losses_are_the_losses():
    """PyTorch 2.13 fails on a compiled function that returns a view together with its detach()."""
    head, gt = make(refine_iou=0.0), [instances((1, 9), labels=[1])]
    masks = prefix_masks((12,), 12)

    def loss(outputs):
        return sum(head.loss_by_feat(outputs, gt).values())

    gradients = []
    for function in (loss, torch.compile(loss, backend='aot_eager')):
        head.zero_grad()
        function(head(features(1, 12), masks)).backward()
        gradients.append([p.grad.clone() for p in head.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[1], gradients[0])


def iou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
    return inter / ((a[1] - a[0]) + (b[1] - b[0]) - inter)


def focal(logit, target):
    p = 1 / (1 + math.exp(-logit))
    if target:
        return -0.25 * (1 - p) ** 2 * math.log(p)
    return -0.75 * p**2 * math.log(1 - p)


def activation_loss(boundary, gt, min_width):
    """Cross entropy at every step of every sample, in plain Python."""
    total, count, values = 0.0, 0, boundary.activations()
    for n, sample in enumerate(gt):
        for t, position in enumerate(boundary.positions.tolist()):
            if not boundary.masks[n, t]:
                continue
            count += 1
            for side in (0, 1):
                near = any(
                    abs(position - segment[side])
                    <= max((segment[1] - segment[0]) / 10, min_width) / 2
                    for segment in sample.segments.tolist()
                )
                p = min(max(values[n, side, t].item(), 1e-6), 1 - 1e-6)
                total -= math.log(p) if near else math.log(1 - p)
    return total / count


def loop_losses(outputs, gt, strides, fine_scale):
    """All losses, one point and class after the other, in segments instead of offsets."""
    sums = dict.fromkeys(('cc', 'cr', 'rc', 'rr', 'q'), 0.0)
    positives = near = 0
    for level, stride in enumerate(strides):
        for n, sample in enumerate(gt):
            for t in range(outputs.masks[level].shape[1]):
                if not outputs.masks[level][n, t]:
                    continue
                x = t * stride
                inside = [
                    (e - s, s, e, k)
                    for (s, e), k in zip(sample.segments.tolist(), sample.labels.tolist())
                    if s < x < e
                ]
                wanted = min(inside, default=None)
                classes = {row[3] for row in inside if row[:3] == wanted[:3]}
                segments = []
                for part in (outputs.coarse, outputs.refined):
                    left, right = (part.offsets[level][n, :, t] * stride).tolist()
                    segments.append((x - left, x + right))
                (s, e), refined = segments
                fits = wanted is not None and iou((s, e), wanted[1:3]) >= 0.5
                for k in range(NUM_CLASSES):
                    mine = k in classes
                    sums['cc'] += focal(outputs.coarse.cls_logits[level][n, k, t].item(), mine)
                    logit = outputs.refined.cls_logits[level][n, k, t].item()
                    sums['rc'] += focal(logit, mine and fits)
                if wanted is None:
                    continue
                positives += 1
                sums['cr'] += 10 * (1 - iou((s, e), wanted[1:3]))
                p = 1 / (1 + math.exp(-outputs.quality[level][n, t].item()))
                target = iou(refined, wanted[1:3]) if refined[1] > refined[0] else 0
                sums['q'] -= target * math.log(p) + (1 - target) * math.log(1 - p)
                if fits:
                    near += 1
                    gap = abs(refined[0] - wanted[1]) + abs(refined[1] - wanted[2])
                    sums['rr'] += 10 * gap / (0.5 * (e - s))
    fine, *branches = (activation_loss(a, gt, 2 / fine_scale) for a in outputs.boundaries)
    return dict(
        loss_coarse_cls=sums['cc'] / max(positives, 1),
        loss_coarse_reg=sums['cr'] / max(positives, 1),
        loss_refined_cls=sums['rc'] / max(near, 1),
        loss_refined_reg=sums['rr'] / max(near, 1),
        loss_quality=sums['q'] / max(positives, 1),
        loss_boundary=fine + 0.1 * sum(branches),
    ), (positives, near)


@pytest.mark.parametrize('sizes', [{}, dict(first_stride=1, fine_scale=2)])
def test_losses_against_loops(sizes):
    head, masks = make(**sizes).double(), prefix_masks((20, 13), 20)
    gt = [
        instances((0.4, 6.1), (3.2, 17.3), (0.4, 6.1), labels=[0, 2, 1]),
        instances((1.5, 8.6), labels=[1]),
    ]
    outputs = head(4 * features(2, 20).double(), masks)
    losses = head.loss_by_feat(outputs, gt)
    expected, (positives, near) = loop_losses(outputs, gt, head.pyramid.strides, head.fine_scale)
    assert 0 < near < positives
    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name


def test_without_ground_truth_only_negatives_teach():
    head = make(refine_iou=0.0)
    outputs = head(features(2, 6), prefix_masks((6, 4), 6))
    losses = head.loss_by_feat(outputs, [instances(), instances()])
    for name in ('loss_coarse_reg', 'loss_refined_reg', 'loss_quality'):
        assert losses[name] == 0
    for name in ('loss_coarse_cls', 'loss_refined_cls', 'loss_boundary'):
        assert losses[name] > 0


@pytest.mark.parametrize('sizes', [{}, dict(first_stride=1, fine_scale=2)])
def test_candidates_against_loops(sizes):
    head, masks = make(score_thr=0.0, **sizes), prefix_masks((9, 3), 9)
    outputs = head(features(2, 9), masks)
    for n, found in enumerate(head.predict_by_feat(outputs)):
        expected = []
        for level, stride in enumerate(head.pyramid.strides):
            for t in outputs.masks[level][n].nonzero().flatten().tolist():
                left, right = (outputs.refined.offsets[level][n, :, t] * stride).tolist()
                for k in range(NUM_CLASSES):
                    logits = (outputs.coarse, outputs.refined)
                    classes = [part.cls_logits[level][n, k, t].sigmoid().item() for part in logits]
                    quality = outputs.quality[level][n, t].sigmoid().item()
                    score = sum(classes) / 2 * quality
                    start = max(t * stride - left, -0.5)
                    end = min(t * stride + right, (9, 3)[n] - 0.5)
                    if end - start > head.min_length:
                        expected.append((score, start, end, k))
        order = found.scores.argsort(descending=True)
        expected.sort(reverse=True)
        assert found.scores[order].tolist() == pytest.approx([e[0] for e in expected], rel=1e-5)
        segments = torch.tensor([e[1:3] for e in expected])
        torch.testing.assert_close(found.segments[order], segments)
        assert found.labels[order].tolist() == [e[3] for e in expected]


def test_refinement_moves_boundaries_by_halves_of_the_length():
    head = make()
    with torch.no_grad():
        head.refined_offsets.conv.weight.zero_()
        head.refined_offsets.conv.bias.copy_(torch.tensor([0.5, -1.0]))
    outputs = head(features(1, 8), prefix_masks((8,), 8))
    for coarse, refined in zip(outputs.coarse.offsets, outputs.refined.offsets):
        length = coarse.sum(dim=1)
        torch.testing.assert_close(refined[:, 0], coarse[:, 0] + 0.25 * length)
        torch.testing.assert_close(refined[:, 1], coarse[:, 1] - 0.5 * length)


@pytest.mark.parametrize(
    ('sizes', 'kind', 'place'),
    [({}, 'box', 1), (dict(first_stride=1, fine_scale=2), 'box', 1), ({}, 'cls', 2)],
)
def test_refinement_sees_what_is_around_coarse_boundaries(sizes, kind, place):
    head, masks = make(**sizes).double(), prefix_masks((20, 13), 20)
    torch.nn.init.constant_(head.offsets.predictor.conv.bias, 2.0)  # long coarse segments
    seen, pyramids, towers = [], [], []
    branch, tower = getattr(head, f'{kind}_refinement'), getattr(head, f'{kind}_tower')
    branch.register_forward_hook(lambda module, args, out: seen.append((args, out)))
    tower.register_forward_hook(lambda module, args, out: towers.append(out))
    head.pyramid.register_forward_hook(lambda module, args, out: pyramids.append(out))
    outputs = head(features(2, 20).double(), masks)
    assert outputs.boundaries[place].feats is seen[0][1].boundary_feats
    for level, (args, out) in enumerate(seen):
        own, level_masks, segments, pooled = args
        assert own is towers[level]
        if kind == 'box':
            quality = head.quality(out.feats, level_masks).squeeze(1)
            torch.testing.assert_close(outputs.quality[level], quality)
        stride = head.pyramid.strides[level]
        steps = torch.arange(level_masks.shape[1])
        left, right = outputs.coarse.offsets[level].unbind(1)
        expected = torch.stack((steps - left, steps + right), dim=-1)
        torch.testing.assert_close(segments, expected)
        fine = (expected * stride + 0.5) * head.fine_scale - 0.5
        wanted = reference(pyramids[0].fine, fine, pyramids[0].fine_masks)
        torch.testing.assert_close(pooled, wanted)
        wanted = reference(out.boundary_feats, segments, level_masks)
        parts = (branch.fine(pooled, level_masks), wanted, branch.point(args[0], level_masks))
        torch.testing.assert_close(out.feats, branch.merge(torch.cat(parts, dim=1), level_masks))


def test_classes_of_equal_segments_add_up():
    outputs = make()(features(1, 12), prefix_masks((12,), 12))
    labels, _ = make().targets(outputs, [instances((1, 9), (1, 9), labels=[0, 2])])
    assert labels.sum(-1).max() == 2


def test_boundary_targets():
    gt = [instances((2, 10), (30, 90)), instances()]
    marks = boundary_targets(torch.arange(100.0), gt)
    assert marks[0, 0].nonzero().flatten().tolist() == [1, 2, 3, *range(27, 34)]
    assert marks[0, 1].nonzero().flatten().tolist() == [9, 10, 11, *range(87, 94)]
    assert not marks[1].any()
    values = torch.tensor([[[0.25, 1.0], [0.5, 0.0]]])
    loss = BoundaryActivationLoss(loss_weight=2.0)
    valid = torch.tensor([[True, False]])
    found = loss(values, torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), valid)
    assert found.item() == pytest.approx(2 * (math.log(4) + math.log(2)))
    assert loss(values, values, torch.zeros_like(valid)) == 0


def test_activation_guided_learning_can_be_switched_off():
    head = make(loss_boundary=dict(loss_weight=0.0))
    outputs = head(features(1, 8), prefix_masks((8,), 8))
    assert head.loss_by_feat(outputs, [instances((1, 5))])['loss_boundary'] == 0


def test_classes_start_at_the_prior():
    head = make(prior_prob=0.03)
    for classifier in (head.classifier, head.refined_classifier):
        bias = classifier.conv.bias.sigmoid()
        torch.testing.assert_close(bias, torch.full((NUM_CLASSES,), 0.03))
    assert not head.quality.conv.bias.any() and not head.refined_offsets.conv.bias.any()


def test_every_level_has_its_scale():
    head, scales = make(), (0.5, -1.0, 2.0)
    feats, masks = features(1, 12), prefix_masks((12,), 12)
    plain = head(feats, masks).coarse.offsets
    with torch.no_grad():
        head.offsets.scales.copy_(torch.tensor(scales))
    for before, after, scale in zip(plain, head(feats, masks).coarse.offsets, scales):
        torch.testing.assert_close(after, before**scale)


def test_far_distances_stay_finite():
    head = make()
    with torch.no_grad():
        head.offsets.predictor.conv.bias.fill_(1000.0)
    outputs = head(features(1, 8), prefix_masks((8,), 8))
    losses = head.loss_by_feat(outputs, [instances((1, 5))])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_errors_name_the_option():
    with pytest.raises(ValueError, match='first_stride'):
        make(first_stride=3)
    with pytest.raises(ValueError, match='num_groups'):
        make(num_groups=5)
    with pytest.raises(ValueError, match='prior_prob'):
        make(prior_prob=1.0)


def test_exported_lengths_count_fine_steps():
    assert make().exported_lengths() == (8, MAX_EXPORTED_STEPS)
    fine = make(first_stride=1, fine_scale=3).exported_lengths()
    assert fine == (4, MAX_EXPORTED_STEPS // 3)


def test_under_bfloat16_autocast():
    head = make()
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(features(1, 8), prefix_masks((8,), 8))
        losses = head.loss_by_feat(outputs, [instances((1, 5))])
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    exact = make()(features(1, 8), prefix_masks((8,), 8))
    for own, other in zip(outputs.coarse.cls_logits, exact.coarse.cls_logits):
        torch.testing.assert_close(own, other, rtol=0.1, atol=0.1)


@pytest.mark.parametrize('decomposed', [False, True])
def test_distilled(tmp_path, decomposed):
    check_distillation(
        tmp_path,
        afsd_detector,
        decomposed,
        coarse=('PointPredictionMimicLoss', 'coarse'),
    )


def test_it_learns_to_detect():
    """Two sequences are learnt by heart: the best candidates are their instances."""
    head, masks = make(first_stride=1, num_levels=2), prefix_masks((24, 18), 24)
    feats = features(2, 24)
    gt = [instances((2, 8), (10, 22), labels=[0, 2]), instances((4, 15), labels=[1])]
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for _ in range(80):
        losses = head.loss_by_feat(head(feats, masks), gt)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for wanted, found in zip(gt, head.predict_by_feat(head(feats, masks))):
        for segment, label in zip(wanted.segments.tolist(), wanted.labels.tolist()):
            best = found.scores[found.labels == label].argmax()
            assert iou(found.segments[found.labels == label][best].tolist(), segment) > 0.8
