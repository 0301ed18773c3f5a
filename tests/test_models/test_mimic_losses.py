"""Feature and prediction mimic losses against plain float64 references."""

import math

import pytest
import torch

from mmtad_decomp.models.losses import FeatureMimicLoss, PointPredictionMimicLoss
from mmtad_decomp.structures import PointOutputs

N, C, T, K = 2, 6, 7, 3


def features(seed, channels=C):
    return torch.randn(N, channels, T, generator=torch.Generator().manual_seed(seed))


def some_valid(steps=T):
    masks = torch.ones(N, steps, dtype=torch.bool)
    masks[1, steps // 2 :] = False
    return masks


def feature_reference(distance, student, teacher, masks):
    """Mean over valid steps, one step at a time."""
    values = []
    for n in range(N):
        for t in range(T):
            if masks[n, t]:
                s, r = student[n, :, t].double(), teacher[n, :, t].double()
                if distance == 'mse':
                    values.append(float(sum((a - b) ** 2 for a, b in zip(s, r))) / len(s))
                else:
                    values.append(1 - float(s @ r) / (float(s @ s) * float(r @ r)) ** 0.5)
    return sum(values) / len(values)


@pytest.mark.parametrize('distance', ['mse', 'cosine'])
def test_feature_loss_equals_the_reference(distance):
    student, teacher = features(0), features(1)
    loss = FeatureMimicLoss(distance, loss_weight=4.0)(student, teacher, some_valid())
    expected = 4 * feature_reference(distance, student, teacher, some_valid())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    everywhere = torch.ones(N, T, dtype=torch.bool)
    unmasked = FeatureMimicLoss(distance)(student, teacher)
    assert unmasked.item() == pytest.approx(
        feature_reference(distance, student, teacher, everywhere), rel=1e-5
    )


@pytest.mark.parametrize('distance', ['mse', 'cosine'])
def test_feature_loss_is_zero_for_equal_features(distance):
    loss = FeatureMimicLoss(distance)(features(0), features(0), some_valid())
    assert loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('distance', ['mse', 'cosine'])
def test_feature_loss_ignores_padding_and_spares_the_teacher(distance):
    student, teacher = features(0).requires_grad_(), features(1).requires_grad_()
    masks = some_valid()
    loss = FeatureMimicLoss(distance)(student, teacher, masks)
    loss.backward()
    assert teacher.grad is None
    assert student.grad.transpose(1, 2)[masks].any()
    assert not student.grad.transpose(1, 2)[~masks].any()
    spoilt = student.detach().masked_fill(~masks[:, None], float('nan'))
    assert FeatureMimicLoss(distance)(spoilt, teacher, masks) == loss


@pytest.mark.parametrize('distance', ['mse', 'cosine'])
def test_feature_loss_without_valid_steps_is_zero(distance):
    student = torch.zeros(N, C, T, requires_grad=True)
    loss = FeatureMimicLoss(distance)(student, features(1), torch.zeros(N, T, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and not student.grad.any()


@pytest.mark.parametrize('distance', ['mse', 'cosine'])
def test_feature_loss_has_finite_gradients_at_zero_features(distance):
    student = torch.zeros(N, C, T, requires_grad=True)
    FeatureMimicLoss(distance)(student, torch.zeros(N, C, T), some_valid()).backward()
    assert torch.isfinite(student.grad).all()


def test_adapter_maps_to_the_teachers_width():
    loss = FeatureMimicLoss(adapter=dict(in_channels=C, out_channels=4))
    student, teacher = features(0), features(1, channels=4)
    weight, bias = loss.adapter.weight[:, :, 0], loss.adapter.bias
    adapted = (weight @ student + bias[:, None]).detach()
    expected = feature_reference('mse', adapted, teacher, some_valid())
    value = loss(student, teacher, some_valid())
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert loss.adapter.weight.grad.any()


def test_feature_loss_names_what_does_not_fit():
    loss = FeatureMimicLoss()
    with pytest.raises(ValueError, match='adapter'):
        loss(features(0), features(1, channels=4), some_valid())
    with pytest.raises(ValueError, match=r'masks \(2, 14\).*masks=dict\(source'):
        loss(features(0), features(1), some_valid(14))
    with pytest.raises(ValueError, match="'mse' or 'cosine', got 'l2'"):
        FeatureMimicLoss('l2')


def outputs(seed, scale=1.0, classes=K):
    """Outputs of a head of two levels."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (6, 3)

    def draw(channels):
        return tuple(torch.randn(N, channels, t, generator=generator) * scale for t in lengths)

    return PointOutputs(
        draw(classes), tuple(x.abs() for x in draw(2)), tuple(some_valid(t) for t in lengths)
    )


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def iou(first, second):
    """Overlap of the segments ``[-left, right]``."""
    inter = min(first[0], second[0]) + min(first[1], second[1])
    return inter / (sum(first) + sum(second) - inter)


def prediction_reference(student, teacher, tau=1.0, boundary='giou'):
    """Class and boundary term, one point at a time."""
    divergence = distance = confidence = 0.0
    for level in range(len(student.masks)):
        for n, t in student.masks[level].nonzero().tolist():
            s = student.cls_logits[level][n, :, t].double().tolist()
            r = teacher.cls_logits[level][n, :, t].double().tolist()
            for a, b in zip(s, r):
                p, q = sigmoid(b / tau), sigmoid(a / tau)
                divergence += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
            weight = max(sigmoid(b) for b in r)
            own = student.offsets[level][n, :, t].double().tolist()
            other = teacher.offsets[level][n, :, t].double().tolist()
            if boundary == 'giou':
                distance += weight * (1 - iou(own, other))
            else:
                distance += weight * (abs(own[0] - other[0]) + abs(own[1] - other[1])) / 2
            confidence += weight
    scale = max(confidence, 1)
    return tau**2 * divergence / scale, distance / scale


@pytest.mark.parametrize('boundary', ['giou', 'l1'])
@pytest.mark.parametrize('tau', [1.0, 3.0])
def test_prediction_loss_equals_the_reference(boundary, tau):
    student, teacher = outputs(0), outputs(1)
    classes, boundaries = prediction_reference(student, teacher, tau, boundary)
    for class_weight, boundary_weight in ((1, 0), (0, 1), (2, 3)):
        loss = PointPredictionMimicLoss(
            boundary, boundary_weight, temperature=tau, class_weight=class_weight
        )
        expected = class_weight * classes + boundary_weight * boundaries
        assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('boundary', ['giou', 'l1'])
def test_prediction_loss_is_zero_for_equal_outputs(boundary):
    loss = PointPredictionMimicLoss(boundary, temperature=2.0)(outputs(0), outputs(0))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def with_gradients(outs):
    leaves = [x.requires_grad_() for x in (*outs.cls_logits, *outs.offsets)]
    return outs, leaves


@pytest.mark.parametrize('boundary', ['giou', 'l1'])
def test_prediction_loss_ignores_padding_and_spares_the_teacher(boundary):
    student, leaves = with_gradients(outputs(0))
    teacher, teacher_leaves = with_gradients(outputs(1))
    loss = PointPredictionMimicLoss(boundary=boundary)(student, teacher)
    loss.backward()
    assert all(leaf.grad is None for leaf in teacher_leaves)
    for leaf, mask in zip(leaves, 2 * student.masks):
        grad = leaf.grad.transpose(1, 2)
        assert torch.isfinite(grad).all() and grad[mask].any() and not grad[~mask].any()
    spoilt = PointOutputs(
        *(
            tuple(x.detach().masked_fill(~m[:, None], 1e4) for x, m in zip(part, student.masks))
            for part in (student.cls_logits, student.offsets)
        ),
        student.masks,
    )
    assert PointPredictionMimicLoss(boundary=boundary)(spoilt, teacher) == loss


@pytest.mark.parametrize('boundary', ['giou', 'l1'])
def test_prediction_loss_stays_finite(boundary):
    loss = PointPredictionMimicLoss(boundary=boundary)
    for student, teacher in (
        (outputs(0, scale=200), outputs(1, scale=200)),  # saturated scores
        (outputs(0, scale=0), outputs(1, scale=0)),  # segments without length
    ):
        student, leaves = with_gradients(student)
        value = loss(student, teacher)
        value.backward()
        assert torch.isfinite(value)
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)
    empty = outputs(0)._replace(masks=tuple(torch.zeros_like(m) for m in outputs(0).masks))
    empty, leaves = with_gradients(empty)
    value = loss(empty, empty)
    value.backward()
    assert value == 0 and not any(leaf.grad.any() for leaf in leaves)


def test_prediction_loss_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r'\(13, 3\) and \(13, 4\).*same classes'):
        PointPredictionMimicLoss()(outputs(0), outputs(1, classes=4))
    with pytest.raises(ValueError, match="'giou' or 'l1', got 'iou'"):
        PointPredictionMimicLoss(boundary='iou')


def test_bfloat16_inputs_under_autocast_are_compared_in_float32():
    student, teacher = features(0), features(1)
    adapter = dict(in_channels=C, out_channels=C)
    loss = FeatureMimicLoss('cosine', adapter=adapter)
    exact = loss(student, teacher, some_valid())
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(student.bfloat16(), teacher.bfloat16(), some_valid())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.02)

    student, teacher = outputs(0), outputs(1)
    halves = [
        PointOutputs(*(tuple(x.bfloat16() for x in part) for part in outs[:2]), outs.masks)
        for outs in (student, teacher)
    ]
    with torch.autocast('cpu', torch.bfloat16):
        value = PointPredictionMimicLoss()(*halves)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(
        PointPredictionMimicLoss()(student, teacher).item(), rel=0.02
    )
