"""Focal loss on independent classes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from .elementwise_loss import ElementwiseLoss
from .reduction import at_least_float32


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
class SigmoidFocalLoss(ElementwiseLoss):
    """:func:`sigmoid_focal_loss` as a module.

    Args:
        alpha: Weight of the positives; negative leaves the classes unweighted.
        gamma: How much easy elements are discounted.
        **kwargs: Arguments of :class:`ElementwiseLoss`: ``reduction``, ``loss_weight``.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.gamma = gamma

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """See :func:`sigmoid_focal_loss`."""
        return sigmoid_focal_loss(pred, target, self.alpha, self.gamma)
