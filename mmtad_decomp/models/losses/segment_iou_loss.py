"""Overlap losses of 1-D segments given as offsets to the left and right of a point."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from torch import Tensor

from .elementwise_loss import ElementwiseLoss
from .reduction import at_least_float32


def _safe_ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, with value and gradient 0 where ``whole`` is not positive."""
    positive = whole > 0
    ratio = part / torch.where(positive, whole, torch.ones_like(whole))
    return torch.where(positive, ratio, torch.zeros_like(ratio))


def _overlap(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Intersection, union and enclosing length of segments ``[-left, right]``."""
    inter = torch.minimum(pred, target).sum(-1).clamp(min=0)
    union = pred.sum(-1) + target.sum(-1) - inter
    hull = torch.maximum(pred, target).sum(-1)
    return inter, union, hull


def segment_iou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """``1 - I / U`` with the symbols of :func:`segment_diou_loss`.

    Segments that do not touch have loss 1 and no gradient.

    Args:
        pred: ``(..., 2)`` offsets (left, right). Half precision is computed in float32.
        target: ``(..., 2)``.

    Returns:
        ``(...)`` losses.
    """
    pred = at_least_float32(pred)
    inter, union, _ = _overlap(pred, target.to(pred.dtype))
    return 1 - _safe_ratio(inter, union)


def segment_diou_loss(pred: Tensor, target: Tensor) -> Tensor:
    r"""Distance-IoU loss in 1-D (after Zheng et al., "Distance-IoU Loss", 2020).

    For segments :math:`[t - l, t + r]` and :math:`[t - l^*, t + r^*]` around one point t,

    .. math:: L = 1 - \frac{I}{U} + \left(\frac{\rho}{E}\right)^2, \qquad
        I = \max(\min(l, l^*) + \min(r, r^*), 0), \quad U = l + r + l^* + r^* - I,

    .. math:: E = \max(l, l^*) + \max(r, r^*), \quad
        \rho = \tfrac{1}{2}\left((r - l) - (r^* - l^*)\right)

    A ratio whose denominator is 0 counts as 0, so two segments without length give 1.

    Args:
        pred: ``(..., 2)`` offsets (left, right). Half precision is computed in float32.
        target: ``(..., 2)``.

    Returns:
        ``(...)`` losses.
    """
    pred = at_least_float32(pred)
    target = target.to(pred.dtype)
    inter, union, hull = _overlap(pred, target)
    gap = 0.5 * ((pred - target)[..., 1] - (pred - target)[..., 0])
    return 1 - _safe_ratio(inter, union) + _safe_ratio(gap, hull).square()


def segment_giou_loss(pred: Tensor, target: Tensor) -> Tensor:
    r"""Generalised IoU loss in 1-D (after Rezatofighi et al., "Generalized IoU", 2019).

    .. math:: L = 1 - \frac{I}{U} + \frac{E - U}{E}

    with the symbols of :func:`segment_diou_loss`. Where all offsets are non-negative both
    segments hold the point, E = U, and the loss is 1 - IoU.

    Args:
        pred: ``(..., 2)`` offsets (left, right). Half precision is computed in float32.
        target: ``(..., 2)``.

    Returns:
        ``(...)`` losses.
    """
    pred = at_least_float32(pred)
    target = target.to(pred.dtype)
    inter, union, hull = _overlap(pred, target)
    return 1 - _safe_ratio(inter, union) + _safe_ratio(hull - union, hull)


@MODELS.register_module()
class SegmentIoULoss(ElementwiseLoss):
    """:func:`segment_iou_loss` as a module, with the arguments of :class:`ElementwiseLoss`."""

    elementwise = staticmethod(segment_iou_loss)


@MODELS.register_module()
class SegmentDIoULoss(ElementwiseLoss):
    """:func:`segment_diou_loss` as a module, with the arguments of :class:`ElementwiseLoss`."""

    elementwise = staticmethod(segment_diou_loss)


@MODELS.register_module()
class SegmentGIoULoss(ElementwiseLoss):
    """:func:`segment_giou_loss` as a module, with the arguments of :class:`ElementwiseLoss`."""

    elementwise = staticmethod(segment_giou_loss)
