"""The mimic of sets of segments against all permutations in plain Python."""

import itertools
import math

import pytest
import torch

from mmtad_decomp.models.losses import PointPredictionMimicLoss, QueryPredictionMimicLoss
from mmtad_decomp.structures import PointOutputs, QueryOutputs


def outputs_of(seed, layers=2, queries=3, classes=2, actionness=True):
    generator = torch.Generator().manual_seed(seed)
    return QueryOutputs(
        torch.randn(layers, 2, queries, classes, generator=generator),
        torch.rand(layers, 2, queries, 2, generator=generator) * 0.6 + 0.2,
        torch.rand(2, queries, generator=generator) if actionness else None,
        torch.tensor([6.0, 4.0]),
    )


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def divergence(student, teacher, tau):
    total = 0.0
    for s, t in zip(student, teacher):
        p, q = sigmoid(t / tau), sigmoid(s / tau)
        total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    return tau**2 * total


def giou(a, b):
    (c, w), (d, v) = a, b
    overlap = max(0.0, min(c + w / 2, d + v / 2) - max(c - w / 2, d - v / 2))
    union = w + v - overlap
    hull = max(c + w / 2, d + v / 2) - min(c - w / 2, d - v / 2)
    return overlap / union - (hull - union) / hull


def pair_cost(student, teacher, place, pair, tau, weights):
    """Cost of a pair (i, j) at a place (layer, sample); ``weights`` of classes, L1, GIoU, u."""
    (layer, n), (i, j) = place, pair
    logits = teacher.cls_logits[-1, n, j].tolist()
    own, wanted = student.segments[layer, n, i].tolist(), teacher.segments[-1, n, j].tolist()
    apart = weights[1] * sum(abs(x - y) for x, y in zip(own, wanted))
    apart += weights[2] * (1 - giou(own, wanted))
    if layer == len(student.cls_logits) - 1 and teacher.actionness is not None:
        apart += weights[3] * abs(
            student.actionness[n, i].item() - teacher.actionness[n, j].item()
        )
    classes = divergence(student.cls_logits[layer, n, i].tolist(), logits, tau)
    return weights[0] * classes + confidence(teacher, n, j) * apart


def confidence(teacher, n, j):
    quality = 1.0 if teacher.actionness is None else teacher.actionness[n, j].item()
    return max(map(sigmoid, teacher.cls_logits[-1, n, j].tolist())) * quality


def expected_loss(student, teacher, tau, weights):
    """By trying all assignments."""
    layers, _, rows, _ = student.cls_logits.shape
    columns = teacher.cls_logits.shape[2]
    total = 0.0
    for place in itertools.product(range(layers), range(2)):
        if rows <= columns:
            orders = itertools.permutations(range(columns), rows)
            pairings = [list(enumerate(order)) for order in orders]
        else:
            orders = itertools.permutations(range(rows), columns)
            pairings = [[(i, j) for j, i in enumerate(order)] for order in orders]
        total += min(
            sum(pair_cost(student, teacher, place, pair, tau, weights) for pair in pairs)
            for pairs in pairings
        )
    certain = sum(confidence(teacher, n, j) for n in range(2) for j in range(columns))
    return total / max(certain, 1.0)


@pytest.mark.parametrize('queries', [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize('tau', [1.0, 2.5])
def test_least_cost_of_all_permutations(queries, tau):
    student, teacher = outputs_of(0, queries=queries[0]), outputs_of(1, 1, queries=queries[1])
    weights = (0.7, 5.0, 2.0, 1.5)
    mimic = QueryPredictionMimicLoss(*weights[1:], temperature=tau, class_weight=weights[0])
    loss = mimic(student, teacher)
    assert loss.item() == pytest.approx(expected_loss(student, teacher, tau, weights), rel=1e-4)


def test_heads_without_actionness():
    student = outputs_of(0, actionness=False)
    teacher = outputs_of(1, actionness=False)
    loss = QueryPredictionMimicLoss()(student, teacher)
    expected = expected_loss(student, teacher, 1.0, (1.0, 5.0, 2.0, 1.0))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_same_set_in_another_order_costs_nothing():
    teacher = outputs_of(1, layers=1)
    order = torch.tensor([2, 0, 1])
    student = QueryOutputs(
        teacher.cls_logits[:, :, order],
        teacher.segments[:, :, order],
        teacher.actionness[:, order],
        teacher.lengths,
    )
    assert QueryPredictionMimicLoss()(student, teacher).item() == pytest.approx(0, abs=1e-5)


def test_gradient_reaches_the_student_alone():
    student, teacher = outputs_of(0), outputs_of(1)
    for outputs in (student, teacher):
        for part in outputs[:3]:
            part.requires_grad_()
    QueryPredictionMimicLoss()(student, teacher).backward()
    assert all(part.grad.abs().sum() > 0 for part in student[:3])
    assert student.segments.grad[0].any(), 'every layer of the student mimics'
    assert all(part.grad is None for part in teacher[:3])


def window_of(outputs, n):
    rows = slice(n, n + 1)
    return QueryOutputs(
        outputs.cls_logits[:, rows],
        outputs.segments[:, rows],
        outputs.actionness[rows],
        outputs.lengths[rows],
    )


@pytest.mark.parametrize('n', [0, 1])
def test_windows_without_valid_steps_do_not_count(n):
    student, teacher = outputs_of(0, queries=8), outputs_of(1, queries=8)
    loss, lengths = QueryPredictionMimicLoss(), torch.zeros(2)
    assert loss(student._replace(lengths=lengths), teacher) == 0
    lengths[n] = 6
    alone = loss(window_of(student, n), window_of(teacher, n))
    assert sum(confidence(teacher, n, j) for j in range(8)) > 1  # what it is divided by
    torch.testing.assert_close(loss(student._replace(lengths=lengths), teacher), alone)
    torch.testing.assert_close(loss(student, teacher._replace(lengths=lengths)), alone)


def test_heads_of_another_kind_or_with_other_classes():
    points = PointOutputs((torch.zeros(2, 2, 4),), (torch.zeros(2, 2, 4),), (torch.ones(2, 4),))
    loss, outputs = QueryPredictionMimicLoss(), outputs_of(0)
    with pytest.raises(TypeError, match=r'the teacher gives PointOutputs.*PointPredictionMimic'):
        loss(outputs, points)
    with pytest.raises(TypeError, match=r'the student gives QueryOutputs.*QueryPredictionMimic'):
        PointPredictionMimicLoss()(outputs, points)
    with pytest.raises(ValueError, match=r'\(2, 2\) and \(2, 3\).*same classes'):
        loss(outputs, outputs_of(1, classes=3))
    with pytest.raises(ValueError, match='temperature must be positive'):
        QueryPredictionMimicLoss(temperature=0)
