"""AFSDPredictionMimicLoss: its parts, masks, gradients and errors."""

import pytest
import torch

from mmtad_decomp.models.losses import AFSDPredictionMimicLoss, PointPredictionMimicLoss
from mmtad_decomp.structures import AFSDOutputs, PointOutputs

N, K, LENGTHS = 2, 3, (6, 3)


def masks():
    return tuple(
        torch.arange(length) < torch.tensor([length, length // 2])[:, None] for length in LENGTHS
    )


def outputs(seed, requires_grad=False, padding=0.0):
    generator = torch.Generator().manual_seed(seed)

    def levels(*channels):
        drawn = [torch.randn(N, *channels, n, generator=generator) for n in LENGTHS]
        drawn = [
            x.masked_fill(~mask.view(N, *[1] * len(channels), -1), padding)
            for x, mask in zip(drawn, masks())
        ]
        return tuple(x.requires_grad_(requires_grad) for x in drawn)

    def points():
        return PointOutputs(levels(K), tuple(x.exp() for x in levels(2)), masks())

    return AFSDOutputs(points(), points(), levels(), ())


def test_it_is_the_sum_of_its_parts():
    student, teacher = outputs(0), outputs(1)
    kwargs = dict(temperature=2.0, boundary='l1')
    loss = AFSDPredictionMimicLoss(0.5, 2.0, 3.0, **kwargs)(student, teacher)
    points = PointPredictionMimicLoss(**kwargs)
    expected = 0.5 * points(student.coarse, teacher.coarse).item()
    expected += 2.0 * points(student.refined, teacher.refined).item()
    total = weight = 0.0
    for level, mask in enumerate(masks()):
        for n, t in mask.nonzero().tolist():
            confidence = teacher.refined.cls_logits[level][n, :, t].sigmoid().max().item()
            own, other = (x.quality[level][n, t].sigmoid().item() for x in (student, teacher))
            total += confidence * (own - other) ** 2
            weight += confidence
    assert weight > 1
    assert loss.item() == pytest.approx(expected + 3.0 * total / weight, rel=1e-5)


def test_equal_predictions_cost_nothing():
    assert AFSDPredictionMimicLoss()(outputs(0), outputs(0)).item() == pytest.approx(0, abs=1e-6)


def test_padding_does_not_count_and_the_teacher_gets_no_gradient():
    student, teacher = outputs(0, requires_grad=True), outputs(1, requires_grad=True)
    loss = AFSDPredictionMimicLoss()(student, teacher)
    other = AFSDPredictionMimicLoss()(outputs(0, padding=7.0), outputs(1, padding=-3.0))
    assert loss.item() == pytest.approx(other.item(), rel=1e-6)
    loss.backward()
    for logits, mask in zip(student.quality, masks()):
        assert logits.grad[mask].all() and not logits.grad[~mask].any()
    for logits in (*teacher.quality, *teacher.refined.cls_logits, *teacher.coarse.cls_logits):
        assert logits.grad is None


def test_without_a_valid_step_it_is_zero():
    def padded(seed):
        whole = outputs(seed)
        none = tuple(torch.zeros_like(mask) for mask in masks())
        parts = (part._replace(masks=none) for part in (whole.coarse, whole.refined))
        return AFSDOutputs(*parts, whole.quality, ())

    assert AFSDPredictionMimicLoss()(padded(0), padded(1)) == 0


def test_other_heads_are_refused():
    with pytest.raises(TypeError, match='the teacher gives PointOutputs'):
        AFSDPredictionMimicLoss()(outputs(0), outputs(1).coarse)
    with pytest.raises(ValueError, match='boundary'):
        AFSDPredictionMimicLoss(boundary='diou')
