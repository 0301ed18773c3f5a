"""Focal loss on independent classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .reduction import at_least_float32, check_reduction, reduce_loss


def sigmoid_focal_loss(
    logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    r"""Focal loss of each element (Lin et al., "Focal Loss for Dense Object Detection", 2017).

    With :math:`p = \sigma(x)`, :math:`p_t = p y + (1 - p)(1 - y)` and
    :math:`\alpha_t = \alpha y + (1 - \alpha)(1 - y)`,

    .. math:: L = -\alpha_t (1 - p_t)^\gamma \left(y \log p + (1 - y) \log(1 - p)\right)

    Args:
        logits: :math:`x`, any shape. Half precision is computed in float32.
        targets: :math:`y` in [0, 1], same shape; soft targets are allowed.
        alpha: Weight of the positives; negative leaves the classes unweighted.
        gamma: How much easy elements are discounted.

    Returns:
        Losses of the same shape.
    """
    logits = at_least_float32(logits)
    targets = targets.to(logits.dtype)
    prob = torch.sigmoid(logits)
    wrong = prob + targets - 2 * prob * targets
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='none') * wrong**gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss


@MODELS.register_module()
class SigmoidFocalLoss(nn.Module):
    """:func:`sigmoid_focal_loss` as a module.

    Args:
        alpha: Weight of the positives; negative leaves the classes unweighted.
        gamma: How much easy elements are discounted.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the result.

    Raises:
        ValueError: If ``reduction`` is none of the three.
    """

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.reduction = check_reduction(reduction)
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            logits: Any shape.
            targets: Same shape, in [0, 1].
            weight: Per element, broadcastable.
            avg_factor: Divisor of the sum in place of the number of elements.

        Returns:
            A scalar, or a tensor like ``logits`` for ``reduction='none'``.
        """
        loss = sigmoid_focal_loss(logits, targets, self.alpha, self.gamma)
        return self.loss_weight * reduce_loss(loss, self.reduction, weight, avg_factor)
