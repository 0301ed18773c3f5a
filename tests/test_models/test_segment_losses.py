"""Focal and overlap losses against float64 formulas."""

import math

import pytest
import torch

from mmtad_decomp.models.losses import reduction
from mmtad_decomp.models.losses.segment_iou_loss import (
    SegmentDIoULoss,
    SegmentGIoULoss,
    segment_diou_loss,
    segment_giou_loss,
    segment_iou_loss,
)
from mmtad_decomp.models.losses.sigmoid_focal_loss import SigmoidFocalLoss, sigmoid_focal_loss


def focal_reference(x, y, alpha, gamma):
    p = 1 / (1 + math.exp(-x))
    p_t = p * y + (1 - p) * (1 - y)
    alpha_t = alpha * y + (1 - alpha) * (1 - y) if alpha >= 0 else 1
    return -alpha_t * (1 - p_t) ** gamma * (y * math.log(p) + (1 - y) * math.log(1 - p))


@pytest.mark.parametrize(
    'alpha, gamma', [(0.25, 2.0), (-1, 2.0), (0, 2.0), (0.5, 0.0), (0.25, 1.5)]
)
def test_focal_loss(alpha, gamma):
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(50, generator=generator)
    targets = torch.cat((torch.zeros(20), torch.ones(20), torch.rand(10, generator=generator)))
    expected = [
        focal_reference(x, y, alpha, gamma) for x, y in zip(logits.tolist(), targets.tolist())
    ]
    loss = sigmoid_focal_loss(logits, targets, alpha, gamma)
    torch.testing.assert_close(loss, torch.tensor(expected), atol=1e-6, rtol=1e-4)


def test_focal_loss_of_extreme_logits_is_finite():
    logits = torch.tensor([-300.0, 300.0, -300.0, 300.0], requires_grad=True)
    loss = SigmoidFocalLoss(reduction='sum')(logits, torch.tensor([0.0, 1.0, 1.0, 0.0]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def iou_reference(pred, target, kind):
    (start, end), (t_start, t_end) = ((-left, right) for left, right in (pred, target))
    inter = max(min(end, t_end) - max(start, t_start), 0)
    union = (end - start) + (t_end - t_start) - inter
    hull = max(end, t_end) - min(start, t_start)
    iou = inter / union if union > 0 else 0
    if kind == 'iou':
        return 1 - iou
    if kind == 'giou':
        return 1 - iou + ((hull - union) / hull if hull > 0 else 0)
    gap = (start + end) / 2 - (t_start + t_end) / 2
    return 1 - iou + ((gap / hull) ** 2 if hull > 0 else 0)


@pytest.mark.parametrize(
    'kind, function',
    [('iou', segment_iou_loss), ('diou', segment_diou_loss), ('giou', segment_giou_loss)],
)
def test_overlap_losses(kind, function):
    generator = torch.Generator().manual_seed(0)
    pred = 5 * torch.rand(60, 2, generator=generator, dtype=torch.float64)
    target = 5 * torch.rand(60, 2, generator=generator, dtype=torch.float64)
    pred[::7] = 0
    target[::5, 0] = 0
    pred[1], target[1] = torch.tensor([3.0, -2.0]), torch.tensor([-2.0, 4.0])  # disjoint
    expected = torch.tensor(
        [iou_reference(p, t, kind) for p, t in zip(pred.tolist(), target.tolist())]
    ).double()
    torch.testing.assert_close(function(pred, target), expected)
    torch.testing.assert_close(
        function(pred.float(), target.float()), expected.float(), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize('function', [segment_iou_loss, segment_diou_loss, segment_giou_loss])
def test_overlap_gradients(function):
    generator = torch.Generator().manual_seed(0)
    pred = 5 * torch.rand(20, 2, generator=generator, dtype=torch.float64) + 0.1
    target = 5 * torch.rand(20, 2, generator=generator, dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda x: function(x, target), pred.requires_grad_(True))


@pytest.mark.parametrize('module', [SegmentDIoULoss(), SegmentGIoULoss()])
def test_segments_without_length(module):
    pred = torch.zeros(3, 2, requires_grad=True)
    loss = module(pred, torch.tensor([[0.0, 0.0], [1.0, 2.0], [1e-30, 0.0]]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(pred.grad).all()
    torch.testing.assert_close(segment_giou_loss(torch.ones(1, 2), torch.ones(1, 2)).item(), 0.0)


@pytest.mark.parametrize('module', [SegmentDIoULoss(), SegmentGIoULoss(), SigmoidFocalLoss()])
def test_reduction_weight_and_no_elements(module):
    pred, target = torch.rand(4, 2), torch.rand(4, 2).round()
    module.reduction = 'none'
    each = module(pred, target)
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5]).reshape(-1, *(1,) * (each.ndim - 1))
    module.reduction = 'sum'
    torch.testing.assert_close(module(pred, target), each.sum())
    module.reduction = 'mean'
    torch.testing.assert_close(module(pred, target), each.mean())
    torch.testing.assert_close(
        module(pred, target, weight=weight, avg_factor=3.0), (each * weight).sum() / 3
    )
    empty = torch.zeros(0, 2, requires_grad=True)
    loss = module(empty, torch.zeros(0, 2))
    loss.backward()
    assert loss == 0


def test_half_precision_is_computed_in_float32():
    pred, target = torch.rand(5, 2), torch.rand(5, 2)
    for function in (segment_diou_loss, segment_giou_loss, sigmoid_focal_loss):
        loss = function(pred.bfloat16(), target)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, function(pred.bfloat16().float(), target))


def test_bad_arguments():
    with pytest.raises(ValueError, match='reduction'):
        SigmoidFocalLoss(reduction='average')
    with pytest.raises(ValueError, match='avg_factor'):
        SegmentDIoULoss(reduction='sum')(torch.ones(1, 2), torch.ones(1, 2), avg_factor=2.0)


def test_divisor_of_a_part_of_the_batch(monkeypatch):
    """Two processes; the other one counts 5. Gradients are averaged, so each divides by half."""
    monkeypatch.setattr(reduction, 'get_world_size', lambda: 2)
    monkeypatch.setattr(reduction, 'all_reduce', lambda count: count.add_(5))
    for count in (3, torch.tensor(3)):
        assert reduction.batch_divisor(count) == (3 + 5) / 2
        assert reduction.batch_divisor(count, extra=10) == (3 + 5 + 10) / 2
        assert reduction.batch_divisor(count, minimum=20) == 20 / 2
