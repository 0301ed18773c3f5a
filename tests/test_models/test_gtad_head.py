"""GTADHead: shapes, padding, losses, candidates, and its place in detectors and distillers."""

import copy
import math

import pytest
import torch
from mmengine.structures import InstanceData
from tiny_detectors import (
    NUM_CLASSES,
    build,
    check_distillation,
    detector_config,
)

from mmtad_decomp.models.heads.gtad.branches import pairs_between_peaks
from mmtad_decomp.models.layers.sg_align import sample_positions
from mmtad_decomp.models.losses import ScoreMapRegressionLoss
from mmtad_decomp.models.losses.sigmoid_focal_loss import sigmoid_focal_loss
from mmtad_decomp.structures import TimeGrid, valid_pairs

HEAD = dict(
    type='GTADHead',
    num_classes=NUM_CLASSES,
    in_channels=16,
    max_duration=5,
    channels=16,
    graph=dict(groups=4, width_per_group=2),
    map_branch=dict(align_channels=12, map_channels=8, align=dict(num_inner=4, num_context=4)),
)
LOSSES = {'loss_cls', 'loss_reg', 'loss_node'}


def make(seed=0, **kwargs):
    return build(dict(HEAD, **kwargs), seed)


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def instances(*segments, labels=None):
    segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    labels = torch.zeros(len(segments)) if labels is None else torch.tensor(labels)
    return InstanceData(segments=segments, labels=labels.long())


def features(batch, steps, seed=0):
    return torch.randn(batch, 16, steps, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('steps', [1, 2, 7, 12])
@pytest.mark.parametrize('num_classes', [1, 3])
def test_any_length(steps, num_classes):
    head, masks = make(num_classes=num_classes), prefix_masks((steps, max(steps - 1, 0), 0), steps)
    outputs = head(features(3, steps), masks)
    assert outputs.cls_logits.shape == (3, num_classes, 5, steps)
    assert outputs.reg_logits.shape == (3, 5, steps)
    assert outputs.start_logits.shape == outputs.end_logits.shape == (3, steps)
    gt = [instances((0, 1)), instances(), instances()]
    losses = head.loss_by_feat(outputs, gt)
    assert set(losses) == LOSSES and all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    candidates = head.predict_by_feat(outputs)
    assert len(candidates[0].scores) == num_classes * int(valid_pairs(masks, 5)[0].sum())
    assert len(candidates[2].scores) == 0


def test_padding_changes_nothing():
    head = make().double()
    feats = features(1, 7).double()
    plain = head(feats, prefix_masks((7,), 7))
    noise = torch.full((1, 16, 4), 50.0).double()
    padded = head(torch.cat((feats, noise), dim=2), prefix_masks((7,), 11))
    for name in ('cls_logits', 'reg_logits', 'start_logits', 'end_logits'):
        torch.testing.assert_close(getattr(padded, name)[..., :7], getattr(plain, name))
    head.loss_reg.draw = False
    gt = [instances((1.2, 4.0), (0, 7), labels=[0, 2])]
    losses = [head.loss_by_feat(outputs, gt) for outputs in (plain, padded)]
    for name in LOSSES:
        torch.testing.assert_close(losses[1][name], losses[0][name])
    own, other = head.predict_by_feat(plain)[0], head.predict_by_feat(padded)[0]
    torch.testing.assert_close(own.scores, other.scores)
    assert torch.equal(own.segments, other.segments) and torch.equal(own.labels, other.labels)


def test_without_ground_truth_only_negatives_teach():
    head = make()
    outputs = head(features(2, 6), prefix_masks((6, 4), 6))
    losses = head.loss_by_feat(outputs, [instances(), instances()])
    assert losses['loss_reg'] == 0
    assert losses['loss_cls'] > 0 and losses['loss_node'] > 0
    grads = torch.autograd.grad(losses['loss_cls'], outputs.cls_logits)[0]
    valid = valid_pairs(outputs.masks, 5)[:, None].expand_as(grads)
    assert (grads[valid] > 0).all() and not grads[~valid].any()


def tiou(pair, segment):
    (a, b), (c, d) = pair, segment
    return max(min(b, d) - max(a, c), 0) / (max(b, d) - min(a, c))


@pytest.mark.parametrize('best_iou, count', [(0.5, 3), (0.75, 2), (None, 2)])
def test_focal_loss_of_classes_against_loops(best_iou, count):
    """Positive are pairs above 0.9 and the best pair of an instance, 0.7 for (2, 3.4)."""
    head = make(best_iou=best_iou).double()
    bias = head.map_branch.predictor.bias[1:]
    torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.01))
    lengths = (7, 4)
    outputs = head(features(2, 7).double(), prefix_masks(lengths, 7))
    segments = [{2: (0.5, 3.5), 0: (2, 3.4)}, {1: (-0.5, 1.5)}]  # by class
    total, positives = 0.0, 0
    for n, length in enumerate(lengths):
        pairs = [(d, s) for d in range(5) for s in range(length - d)]
        for k in range(NUM_CLASSES):
            ious = {
                (d, s): tiou((s - 0.5, s + d + 0.5), segments[n].get(k, (9, 9.1)))
                for d, s in pairs
            }
            highest = max(ious.values())
            for (d, s), iou in ious.items():
                best = best_iou is not None and iou == highest and iou > best_iou
                positive = iou > 0.9 or best
                p = outputs.cls_logits[n, k, d, s].sigmoid().item()
                right, alpha = (p, 0.25) if positive else (1 - p, 0.75)
                total -= alpha * (1 - right) ** 2 * math.log(right)
                positives += positive
    assert positives == count
    gt = [instances(*own.values(), labels=list(own)) for own in segments]
    loss = head.loss_by_feat(outputs, gt)['loss_cls']
    assert loss.item() == pytest.approx(10 * total / positives)


def test_positives_beyond_the_valid_steps_do_not_count():
    """Nor do those whose tIoU is the limit: 0.9, and 0.5 of the best pair of an instance.

    (-0.5, 9.5) has a tIoU of 10 / 11 with the pair that ends a step later.
    """
    head, masks = make(max_duration=12), prefix_masks((10,), 12)
    outputs = head(features(1, 12), masks)
    gt = [instances((-0.5, 9.5), (4, 5), labels=[0, 1])]
    losses = head.loss_by_feat(outputs, gt)
    pairs = valid_pairs(masks, 12)[:, None]
    matches = torch.zeros_like(outputs.cls_logits)
    matches[0, 0, 9, 0] = 1
    total = (sigmoid_focal_loss(outputs.cls_logits, matches) * pairs).sum()
    assert losses['loss_cls'].item() == pytest.approx(10 * total.item(), rel=1e-5)


def test_tious_are_those_of_the_best_class():
    head = make(loss_reg=dict(draw=False))
    outputs = head(features(1, 7), prefix_masks((7,), 7))
    gt = [instances((0.2, 3.5), (1.0, 5.5), labels=[0, 2])]
    targets = torch.zeros(1, 5, 7)
    for d in range(5):
        for s in range(7):
            pair = (s - 0.5, s + d + 0.5)
            targets[0, d, s] = max(tiou(pair, segment) for segment in gt[0].segments.tolist())
    pairs = valid_pairs(outputs.masks, 5)
    expected = ScoreMapRegressionLoss(draw=False)(outputs.reg_logits, targets, pairs).item()
    assert head.loss_by_feat(outputs, gt)['loss_reg'].item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_starts_and_ends_against_loops():
    """Steps of which more than half lies within 1.5 steps of a boundary."""
    head, lengths = make().double(), (9, 6)
    outputs = head(features(2, 9).double(), prefix_masks(lengths, 9))
    gt = [instances((1.5, 6.2)), instances((0.3, 2.5), (3.0, 9.0))]
    near = (([1, 2], [5, 6, 7]), ([0, 1, 2, 3, 4], [2, 3]))  # starts and ends of each window
    expected = 0.0
    for side, logits in enumerate((outputs.start_logits, outputs.end_logits)):
        terms = {True: [], False: []}
        for n, length in enumerate(lengths):
            for t, x in enumerate(logits[n, :length].tolist()):
                positive = t in near[n][side]
                terms[positive].append(math.log1p(math.exp(-x if positive else x)))
        expected += sum(0.5 * sum(part) / len(part) for part in terms.values())
    found = head.loss_by_feat(outputs, gt)['loss_node']
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_one_class_is_balanced():
    """As G-TAD's releases have it."""
    head = make(num_classes=1)
    assert type(head.loss_cls).__name__ == 'BalancedBCELoss' and head.loss_cls.extra_count == 10
    activitynet = make(num_classes=1, loss_cls=dict(loss_weight=1.0, extra_count=0))
    assert activitynet.loss_cls.extra_count == 0
    assert head.map_branch.predictor.bias.abs().max() < 0.5


def test_candidates_against_loops():
    head = make(nms_pre=1000)
    masks = prefix_masks((7, 3), 7)
    outputs = head(features(2, 7), masks)
    for n, length in enumerate((7, 3)):
        expected = []
        for k in range(NUM_CLASSES):
            for d in range(5):
                for s in range(7):
                    if s + d + 1 <= length:
                        cls = outputs.cls_logits[n, k, d, s].sigmoid()
                        score = (cls * outputs.reg_logits[n, d, s].sigmoid()).item()
                        expected.append((score, s - 0.5, s + d + 0.5, k))
        expected.sort(reverse=True)
        found = head.predict_by_feat(outputs)[n]
        assert len(found.scores) == len(expected)
        assert found.scores.tolist() == pytest.approx([e[0] for e in expected], rel=1e-5)
        rows = zip(found.segments.tolist(), found.labels.tolist())
        assert {(*s, k) for s, k in rows} == {e[1:] for e in expected}


def test_best_candidates_above_a_score():
    outputs = make()(features(1, 7), prefix_masks((7,), 7))
    everything = make().predict_by_feat(outputs)[0]
    assert torch.equal(make(nms_pre=4).predict_by_feat(outputs)[0].scores, everything.scores[:4])
    threshold = everything.scores[9].item()
    assert len(make(score_thr=threshold).predict_by_feat(outputs)[0].scores) == 9


def test_loss_weights_are_options():
    outputs = make()(features(1, 7), prefix_masks((7,), 7))
    gt, fixed = [instances((1, 5), (2, 4))], dict(draw=False)
    plain = make(loss_reg=fixed).loss_by_feat(outputs, gt)
    activitynet = dict(loss_cls=dict(loss_weight=1.0), loss_reg=dict(loss_weight=10.0, **fixed))
    swapped = make(**activitynet).loss_by_feat(outputs, gt)
    assert swapped['loss_cls'].item() == pytest.approx(plain['loss_cls'].item() / 10)
    assert swapped['loss_reg'].item() == pytest.approx(plain['loss_reg'].item() * 10)
    assert swapped['loss_node'] == plain['loss_node']


def test_errors_name_the_option():
    with pytest.raises(ValueError, match='embed_groups=3'):
        make(embed_groups=3)


def gtad_detector(**kwargs):
    return dict(detector_config(**kwargs), head=copy.deepcopy(HEAD))


@pytest.mark.parametrize('decomposed', [False, True])
def test_distilled(tmp_path, decomposed):
    check_distillation(
        tmp_path,
        gtad_detector,
        decomposed,
        classes=('ScoreMapMimicLoss', 'cls_logits'),
    )


def test_under_bfloat16_autocast():
    head = make()
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(features(1, 8), prefix_masks((8,), 8))
        losses = head.loss_by_feat(outputs, [instances((1, 5))])
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    exact = make()(features(1, 8), prefix_masks((8,), 8))
    torch.testing.assert_close(outputs.reg_logits.float(), exact.reg_logits, rtol=0.1, atol=0.05)


def test_it_learns_to_detect():
    """Two sequences are learnt by heart: the best candidates are their instances."""
    head, masks = make(max_duration=9, loss_reg=dict(draw=False)), prefix_masks((12, 9), 12)
    feats = features(2, 12)
    gt = [
        instances((0.5, 3.5), (4.5, 10.5), labels=[0, 2]),
        instances((1.5, 6.5), labels=[1]),
    ]
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(150):
        losses = head.loss_by_feat(head(feats, masks), gt)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for wanted, found in zip(gt, head.predict_by_feat(head(feats, masks))):
        best = {
            (*segment, label)
            for segment, label in zip(
                found.segments[: len(wanted.labels)].tolist(),
                found.labels[: len(wanted.labels)].tolist(),
            )
        }
        expected = zip(wanted.segments.tolist(), wanted.labels.tolist())
        assert best == {(*segment, label) for segment, label in expected}


def test_steps_are_whole_in_targets_predictions_and_alignment():
    """Step s is [s, s + 1] strides of the window, as in G-TAD's release."""
    grid = TimeGrid(fps=10, start=30)
    seconds = torch.tensor([[3.2, 3.5]])  # steps 2 to 4, whole
    head, masks = make(), prefix_masks((8,), 8)
    outputs = head(features(1, 8), masks)
    ious = head.targets(outputs, [instances(*grid.to_steps(seconds).tolist())]).ious[0].amax(dim=0)
    assert ious[2, 2].item() == pytest.approx(1) and (ious > 0.99).sum() == 1
    segments = head.dense_predictions(outputs)['segments']
    torch.testing.assert_close(grid.to_seconds(segments[2, 2]), seconds[0])
    # features lie at the middles of steps: SGAlign reads around the middle of steps 2 to 4
    positions = 2 + sample_positions(duration=2, num_samples=4, extension=0.5)
    assert grid.to_seconds(positions).mean().item() == pytest.approx(seconds.mean().item())


def official_pairs(starts, ends, durations):
    """Pairs that G-TAD's release for ActivityNet enumerates, from its definition."""
    steps = len(starts)

    def bins(scores, edge):
        found = {edge}
        for i in range(1, steps - 1):
            peak = scores[i] > scores[i - 1] and scores[i] > scores[i + 1]
            if peak or scores[i] > 0.5 * max(scores):
                found.add(i)
        return found

    begin, stop = bins(starts, 0), bins(ends, steps - 1)
    return {
        (d, s)
        for d in range(durations)
        for s in range(steps)
        if s + d + 1 < steps and s in begin and s + d + 1 in stop
    }


@pytest.mark.parametrize('length', [1, 2, 3, 8, 12])
@pytest.mark.parametrize('seed', range(4))
def test_pairs_between_peaks_are_those_of_the_release(length, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(2, 1, 12, generator=generator) ** 3
    if seed % 2:  # neighbours that score the same, and half of the best score
        scores = torch.randint(5, (2, 1, 12), generator=generator) / 8
        scores[..., length // 2] = 1
    masks = prefix_masks((length,), 12)
    kept = pairs_between_peaks(*scores, masks, 7, 0.5)
    found = {tuple(pair) for pair in kept[0].nonzero().tolist()}
    assert found == official_pairs(*scores[:, 0, :length].tolist(), 7)


def test_candidates_lie_between_peaks():
    outputs = make()(features(2, 12), prefix_masks((12, 9), 12))
    everything = make(score_thr=0.0).predict_by_feat(outputs)
    gated = make(score_thr=0.0, peak_ratio=0.5).predict_by_feat(outputs)
    nodes = outputs.start_logits.sigmoid(), outputs.end_logits.sigmoid()
    for index, (every, some) in enumerate(zip(everything, gated)):
        length = int(outputs.masks[index].sum())
        wanted = official_pairs(*(node[index, :length].tolist() for node in nodes), 5)
        segments = {(s - 0.5, s + d + 0.5) for d, s in wanted}
        assert {tuple(pair) for pair in some.segments.tolist()} == segments
        assert len(some.scores) < len(every.scores)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match='kernel_size must be odd, got 2'):
        make(map_branch=dict(HEAD['map_branch'], kernel_size=2))
