"""Cross entropy in which positives and negatives weigh the same."""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .reduction import at_least_float32, batch_divisor


def balanced_bce_loss(
    logits: Tensor, positive: Tensor, valid: Tensor, extra_count: float = 0.0
) -> Tensor:
    r"""Mean loss of the positives plus that of the negatives, halved.

    With P valid positives and Q valid negatives,

    .. math:: L = -\frac{1}{2P} \sum_{+} \log \sigma(x) - \frac{1}{2Q} \sum_{-} \log(1 - \sigma(x))

    which is the weighted logistic loss of BSN (Lin et al., 2018) and G-TAD, there written with
    the coefficients ``0.5 r`` and ``0.5 r / (r - 1)``, r = (P + Q) / P. A half without elements
    is 0. G-TAD's class loss for THUMOS'14 has P + 10 and Q + 10 in place of P and Q.

    Args:
        logits: x, any shape. Half precision is computed in float32.
        positive: bool, same shape.
        valid: bool, broadcastable to it; other elements do not count.
        extra_count: Added to P and to Q.

    Returns:
        A scalar.
    """
    logits = at_least_float32(logits)
    positive, negative = (positive & valid).to(logits.dtype), (~positive & valid).to(logits.dtype)
    num_positive = batch_divisor(positive.sum(), extra=extra_count)
    num_negative = batch_divisor(negative.sum(), extra=extra_count)
    of_positives = (F.softplus(-logits) * positive).sum() / num_positive
    of_negatives = (F.softplus(logits) * negative).sum() / num_negative
    return 0.5 * (of_positives + of_negatives)


@MODELS.register_module()
class BalancedBCELoss(nn.Module):
    """:func:`balanced_bce_loss` as a module.

    Args:
        loss_weight: Factor of the result.
        extra_count: Added to the numbers of positives and of negatives, >= 0.

    Raises:
        ValueError: If ``extra_count`` is negative.
    """

    def __init__(self, loss_weight: float = 1.0, extra_count: float = 0.0) -> None:
        super().__init__()
        if not extra_count >= 0:
            raise ValueError(f'BalancedBCELoss: extra_count must be >= 0, got {extra_count}')
        self.loss_weight = loss_weight
        self.extra_count = extra_count

    def forward(self, logits: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss; see :func:`balanced_bce_loss`."""
        loss = balanced_bce_loss(logits, positive, valid, self.extra_count)
        return self.loss_weight * loss
