"""Losses of segmentation masks over time, and of the agreement of masks and classes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .reduction import at_least_float32, batch_divisor


def mask_dice_loss(pred: Tensor, target: Tensor) -> Tensor:
    r"""Dice loss with squares (Milletari et al., "V-Net", 2016), smoothed by 1.

    .. math:: L = 1 - \frac{2 \sum_s p_s g_s + 1}{\sum_s p_s^2 + \sum_s g_s^2 + 1}

    Args:
        pred: ``(R, T)`` scores p in [0, 1].
        target: ``(R, T)`` masks g.

    Returns:
        ``(R,)`` losses.
    """
    pred = at_least_float32(pred)
    target = target.to(pred.dtype)
    overlap = (pred * target).sum(dim=1)
    return 1 - (2 * overlap + 1) / (pred.square().sum(dim=1) + target.square().sum(dim=1) + 1)


def mask_boundary(masks: Tensor, width: int = 1) -> Tensor:
    """A mask less its erosion: for binary masks, its steps within ``width`` of a step outside.

    Args:
        masks: ``(R, T)`` in [0, 1]; what lies beyond both ends is outside.
        width: In steps.
    """
    padded = F.pad(-masks[:, None], (width, width))
    return masks + F.max_pool1d(padded, 2 * width + 1, stride=1)[:, 0]


def boundary_iou_loss(pred: Tensor, target: Tensor, width: int = 1) -> Tensor:
    r"""One minus the IoU of boundaries (Cheng et al., "Boundary IoU", 2021), softened.

    With boundaries b and b* of :func:`mask_boundary`,

    .. math:: L = 1 - \frac{\sum_s \min(b_s, b^*_s)}{\sum_s \max(b_s, b^*_s)}

    which is the Boundary IoU for binary masks. Two masks without a boundary have loss 0.

    Args:
        pred: ``(R, T)`` scores in [0, 1].
        target: ``(R, T)`` masks.
        width: Width of the boundary in steps.

    Returns:
        ``(R,)`` losses.
    """
    pred = at_least_float32(pred)
    own, other = mask_boundary(pred, width), mask_boundary(target.to(pred.dtype), width)
    union = torch.maximum(own, other).sum(dim=1)
    inter = torch.minimum(own, other).sum(dim=1)
    return torch.where(union > 0, 1 - inter / union.clamp(min=1e-6), union)


def branch_consistency_loss(
    feats: Tensor, class_scores: Tensor, mask_scores: Tensor, valid: Tensor
) -> Tensor:
    """One minus the cosine of the features that classes and masks take for foreground.

    Each branch averages the features of the steps that it scores at least as high as its mean
    over valid steps, weighted with the scores.

    Args:
        feats: ``(N, C, T)``.
        class_scores: ``(N, T)`` in [0, 1].
        mask_scores: ``(N, T)`` in [0, 1].
        valid: ``(N, T)`` bool.

    Returns:
        ``(N,)`` losses, 0 for a sample without valid steps.
    """
    feats = at_least_float32(feats)
    sums = []
    for scores in (class_scores, mask_scores):
        scores = scores.to(feats.dtype) * valid
        mean = scores.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
        weights = scores * (scores >= mean.detach())
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
        sums.append((feats * weights[:, None]).sum(dim=2))
    return (1 - F.cosine_similarity(*sums, dim=1)) * valid.any(dim=1)


class _MaskLoss(nn.Module, metaclass=ABCMeta):
    """Mean of the losses of single masks."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    @abstractmethod
    def of_masks(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss ``(R,)`` of each mask."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """``(R, T)`` scores and masks to a scalar, 0 with a gradient path for R = 0."""
        loss = self.of_masks(pred, target)
        return self.loss_weight * loss.sum() / batch_divisor(len(loss))


@MODELS.register_module()
class MaskDiceLoss(_MaskLoss):
    """Mean of :func:`mask_dice_loss`.

    Args:
        loss_weight: Factor of the result.
    """

    def of_masks(self, pred: Tensor, target: Tensor) -> Tensor:
        """See :func:`mask_dice_loss`."""
        return mask_dice_loss(pred, target)


@MODELS.register_module()
class MaskBoundaryLoss(_MaskLoss):
    """Mean of :func:`boundary_iou_loss`.

    Args:
        width: Width of the boundary in steps.
        loss_weight: Factor of the result.

    Raises:
        ValueError: If the width is not positive.
    """

    def __init__(self, width: int = 1, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if width < 1:
            raise ValueError(f'width must be at least 1 step, got {width}')
        self.width = width

    def of_masks(self, pred: Tensor, target: Tensor) -> Tensor:
        """See :func:`boundary_iou_loss`."""
        return boundary_iou_loss(pred, target, self.width)


@MODELS.register_module()
class BranchConsistencyLoss(nn.Module):
    """Mean of :func:`branch_consistency_loss`.

    Args:
        loss_weight: Factor of the result.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, feats: Tensor, class_scores: Tensor, mask_scores: Tensor, valid: Tensor
    ) -> Tensor:
        """Compute the loss; see :func:`branch_consistency_loss`."""
        return (
            self.loss_weight
            * branch_consistency_loss(feats, class_scores, mask_scores, valid).mean()
        )
