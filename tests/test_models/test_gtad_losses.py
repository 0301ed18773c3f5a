"""Targets, losses and mimics over maps of (start, duration) pairs, against plain formulas."""

import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmtad_decomp.models.losses import (
    BalancedBCELoss,
    GTADPredictionMimicLoss,
    ScoreMapMimicLoss,
    ScoreMapRegressionLoss,
)
from mmtad_decomp.models.task_modules import ScoreMapTargetGenerator
from mmtad_decomp.structures import ScoreMapOutputs


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def draw(*shape, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator)


def instances(segments, labels):
    segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    return InstanceData(segments=segments, labels=torch.tensor(labels, dtype=torch.long))


GT = [
    instances([(0.5, 4.0), (1.0, 3.5), (-2.0, 2.0), (5.0, 20.0), (4.0, 4.0)], [0, 0, 1, 1, 2]),
    instances([(0.2, 2.6)], [2]),
    instances([], []),
]


def reference_iou(segment, start, end, length):
    begin, stop = (min(max(x, -0.5), length - 0.5) for x in segment)
    inter = max(min(stop, end) - max(begin, start), 0)
    union = (stop - begin) + (end - start) - inter
    return inter / union if union else 0.0


@pytest.mark.parametrize('num_classes', [1, 3])
def test_targets_against_loops(num_classes):
    steps, durations, lengths = 7, 9, (7, 3, 0)
    targets = ScoreMapTargetGenerator(durations)(prefix_masks(lengths, steps), GT, num_classes)
    assert targets.ious.shape == (3, num_classes, durations, steps)
    for n, (gt, length) in enumerate(zip(GT, lengths)):
        rows = list(zip(gt.segments.tolist(), gt.labels.tolist()))
        for k in range(num_classes):
            own = [seg for seg, label in rows if num_classes == 1 or label == k]
            for d in range(durations):
                for s in range(steps):
                    ious = [reference_iou(seg, s - 0.5, s + d + 0.5, length) for seg in own]
                    expected = max(ious, default=0)
                    assert targets.ious[n, k, d, s].item() == pytest.approx(expected, abs=1e-6)
            found = {(d, s) for d, s in targets.best[n, k].nonzero().tolist()}
            assert len(found) <= len(own)
            for seg in own:
                ious = {
                    (d, s): reference_iou(seg, s - 0.5, s + d + 0.5, length)
                    for d in range(durations)
                    for s in range(steps)
                }
                highest = max(ious.values())
                assert any(ious[pair] == pytest.approx(highest, abs=1e-6) for pair in found)
        for column, actual in enumerate((targets.starts, targets.ends)):
            for g in range(steps):
                shares = [
                    max(min(g + 0.5, seg[column] + 1.5) - max(g - 0.5, seg[column] - 1.5), 0)
                    for seg, _ in rows
                ]
                assert actual[n, g].item() == pytest.approx(max(shares, default=0), abs=1e-6)


def test_the_fitting_pair_has_tiou_one():
    """Steps 2 to 4 as a whole, from the left edge of step 2 to the right edge of step 4."""
    gt = [instances([(1.5, 4.5)], [0])]
    targets = ScoreMapTargetGenerator(6)(prefix_masks((8,), 8), gt, 1)
    assert targets.ious[0, 0, 2, 2] == 1 and (targets.ious == 1).sum() == 1
    assert targets.starts[0].tolist() == [0.5, 1, 1, 0.5, 0, 0, 0, 0]


def official_bce(probability, positive):
    """G-TAD's coefficients, float64."""
    ratio = len(positive) / sum(positive)
    coefficients = (0.5 * ratio / (ratio - 1), 0.5 * ratio)
    values = [
        coefficients[bool(y)] * math.log(p if y else 1 - p) for p, y in zip(probability, positive)
    ]
    return -sum(values) / len(values)


def test_balanced_bce():
    logits, valid = draw(2, 9), prefix_masks((9, 5), 9)
    positive = draw(2, 9, seed=1) > 1
    expected = official_bce(logits[valid].sigmoid().tolist(), positive[valid].tolist())
    loss = BalancedBCELoss(loss_weight=3.0)(logits, positive, valid)
    assert loss.item() == pytest.approx(3 * expected)


def test_balanced_bce_with_extra_counts():
    """G-TAD's class loss for THUMOS'14: coefficients from P + 10 and P + Q + 20, float64."""
    logits, positive = draw(46), torch.arange(46) < 6
    positives, entries = 6 + 10, 46 + 20
    ratio = entries / positives
    log_p, log_q = logits.sigmoid().log(), (1 - logits.sigmoid()).log()
    terms = 0.5 * ratio * log_p * positive + 0.5 * ratio / (ratio - 1) * log_q * ~positive
    loss = BalancedBCELoss(extra_count=10)(logits, positive, torch.ones(46).bool())
    assert loss.item() == pytest.approx(-terms.sum().item() / entries)
    assert loss.item() < 0.9 * BalancedBCELoss()(logits, positive, torch.ones(46).bool()).item()
    with pytest.raises(ValueError, match='extra_count must be >= 0, got -1'):
        BalancedBCELoss(extra_count=-1)


def test_balanced_bce_without_one_kind_or_any():
    logits = draw(6).requires_grad_()
    everywhere, nowhere = torch.ones(6).bool(), torch.zeros(6).bool()
    loss = BalancedBCELoss()
    assert loss(logits, everywhere, everywhere).item() == pytest.approx(
        -0.5 * logits.sigmoid().log().mean().item()
    )
    assert loss(logits, nowhere, everywhere).item() == pytest.approx(
        -0.5 * (1 - logits.sigmoid()).log().mean().item()
    )
    empty = loss(logits, everywhere, nowhere)
    empty.backward()
    assert empty == 0 and not logits.grad.any()


def regression_inputs():
    targets = draw(2, 6, 8, seed=3).abs().clamp(max=1) * (draw(2, 6, 8, seed=4) > -1)
    targets[:, 0] *= 0.25
    targets[:, 2:] *= 0.6
    targets[:, 4, :2], targets[:, 5, :2] = 0.3, 0.7  # the upper bounds of two groups
    valid = draw(2, 6, 8, seed=5) > -2
    return draw(2, 6, 8), targets, valid


def test_expected_map_regression():
    logits, targets, valid = regression_inputs()
    rows = [
        (p, t) for p, t, v in zip(logits.sigmoid().flatten(), targets.flatten(), valid.flatten())
        if v and t > 0
    ]  # fmt: skip
    groups = [
        [(p, t) for p, t in rows if low < t <= high]
        for low, high in ((0.7, 1), (0.3, 0.7), (0, 0.3))
    ]
    assert all(groups)
    chances = [min(len(groups[0]) / len(group), 1) for group in groups]
    assert min(chances) < 1
    errors = sum(c * sum((p - t) ** 2 for p, t in g) for c, g in zip(chances, groups))
    count = sum(c * len(g) for c, g in zip(chances, groups))
    loss = ScoreMapRegressionLoss(draw=False, loss_weight=2.0)(logits, targets, valid)
    assert loss.item() == pytest.approx(2 * 0.5 * (errors / count).item())


def test_drawn_pairs_follow_their_probabilities():
    _, targets, valid = regression_inputs()
    torch.manual_seed(0)
    drawn, expected = ScoreMapRegressionLoss(), ScoreMapRegressionLoss(draw=False)
    rounds = torch.stack([drawn.weights(targets, valid) for _ in range(4000)])
    assert set(rounds.unique().tolist()) == {0.0, 1.0}
    wanted = expected.weights(targets, valid)
    torch.testing.assert_close(rounds.mean(dim=0), wanted, rtol=0, atol=0.05)
    certain = (wanted == 0) | (wanted == 1)
    assert torch.equal(rounds.mean(dim=0)[certain], wanted[certain])


def test_map_regression_of_nothing():
    logits = draw(1, 3, 4).requires_grad_()
    loss = ScoreMapRegressionLoss()(logits, torch.zeros(1, 3, 4), torch.ones(1, 3, 4).bool())
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def outputs(seed, classes=3, durations=4, steps=6):
    return ScoreMapOutputs(
        draw(2, classes, durations, steps, seed=seed),
        draw(2, durations, steps, seed=seed + 10),
        draw(2, steps, seed=seed + 20),
        draw(2, steps, seed=seed + 30),
        prefix_masks((steps, steps - 3), steps),
    )


def bernoulli_kl(t, s):
    return t * math.log(t / s) + (1 - t) * math.log((1 - t) / (1 - s))


def reference_distance(student, teacher, valid, distance, temperature=1.0):
    total = weight = 0.0
    valid = valid.expand_as(student)
    for s, t in zip(student[valid].tolist(), teacher[valid].tolist()):
        score = 1 / (1 + math.exp(-t))
        weight += score
        if distance == 'mse':
            total += (1 / (1 + math.exp(-s)) - score) ** 2
        else:
            soft, own = (1 / (1 + math.exp(-x / temperature)) for x in (t, s))
            total += temperature**2 * bernoulli_kl(soft, own)
    return total / max(weight, 1)


def pairs_of(masks, durations):
    valid = torch.zeros(len(masks), durations, masks.shape[1], dtype=torch.bool)
    for n in range(len(masks)):
        for d in range(durations):
            for s in range(masks.shape[1]):
                valid[n, d, s] = s + d + 1 <= int(masks[n].sum())
    return valid


@pytest.mark.parametrize('temperature', [1.0, 2.5])
def test_prediction_mimic(temperature):
    student, teacher = outputs(0), outputs(1)
    pairs = pairs_of(student.masks, 4)
    nodes = sum(
        reference_distance(
            getattr(student, name), getattr(teacher, name), student.masks, 'kl', temperature
        )
        for name in ('start_logits', 'end_logits')
    )
    classes = reference_distance(
        student.cls_logits, teacher.cls_logits, pairs[:, None], 'kl', temperature
    )
    ious = reference_distance(student.reg_logits, teacher.reg_logits, pairs, 'mse')
    mimic = GTADPredictionMimicLoss(3.0, 4.0, temperature=temperature, class_weight=2.0)
    loss = mimic(student, teacher)
    assert loss.item() == pytest.approx(2 * classes + 3 * ious + 4 * nodes, rel=1e-5)


def test_mimic_of_oneself_is_zero_and_its_gradient_too():
    student = outputs(0)
    logits = student.cls_logits.clone().requires_grad_()
    loss = GTADPredictionMimicLoss()(student._replace(cls_logits=logits), student)
    loss.backward()
    assert abs(loss.item()) < 1e-5 and logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize('distance', ['kl', 'mse'])
@pytest.mark.parametrize('name', ['cls_logits', 'start_logits'])
def test_one_map_from_logits_or_scores(distance, name):
    student, teacher = outputs(0), outputs(1)
    valid = pairs_of(student.masks, 4)[:, None] if name == 'cls_logits' else student.masks
    own, other = getattr(student, name), getattr(teacher, name)
    expected = reference_distance(own, other, valid, distance)
    loss = ScoreMapMimicLoss(distance, loss_weight=2.0)(own, other, student.masks)
    assert loss.item() == pytest.approx(2 * expected, rel=1e-5)
    scores = ScoreMapMimicLoss(distance, from_logits=False)
    assert scores(own.sigmoid(), other.sigmoid(), student.masks).item() == pytest.approx(
        expected, rel=1e-4
    )
    scaled = ScoreMapMimicLoss(distance, logit_scale=0.01)
    assert scaled(100 * own, 100 * other, student.masks).item() == pytest.approx(
        expected, rel=1e-5
    )
    everything = torch.ones_like(student.masks)
    assert torch.equal(scores(own, other), scores(own, other, everything))


def test_invalid_pairs_and_the_teacher_get_no_gradient():
    student, teacher = outputs(0), outputs(1)
    own, other = (x.cls_logits.clone().requires_grad_() for x in (student, teacher))
    ScoreMapMimicLoss()(own, other, student.masks).backward()
    valid = pairs_of(student.masks, 4)[:, None].expand_as(own)
    assert other.grad is None
    assert own.grad[valid].all() and not own.grad[~valid].any()


def test_a_fully_padded_batch_gives_zero():
    student, teacher = outputs(0), outputs(1)
    padded = torch.zeros_like(student.masks)
    loss = GTADPredictionMimicLoss()(student._replace(masks=padded), teacher)
    assert loss == 0


def test_errors_say_what_differs():
    with pytest.raises(ValueError, match="'kl' or 'mse'"):
        ScoreMapMimicLoss('l1')
    with pytest.raises(ValueError, match='same classes, durations and steps'):
        GTADPredictionMimicLoss()(outputs(0), outputs(0, classes=2))
    with pytest.raises(ValueError, match='masks=dict'):
        ScoreMapMimicLoss()(outputs(0).cls_logits, outputs(1).cls_logits, torch.ones(2, 5).bool())


def test_outputs_of_another_kind_are_refused():
    with pytest.raises(
        TypeError, match=r'teacher gives Tensor, GTADPredictionMimicLoss compares ScoreMapOutputs'
    ):
        GTADPredictionMimicLoss()(outputs(0), outputs(1).cls_logits)
    with pytest.raises(TypeError, match=r'student gives ScoreMapOutputs.*`item`'):
        ScoreMapMimicLoss()(outputs(0), outputs(1).cls_logits)
