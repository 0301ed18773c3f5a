"""Cross entropy in which positives and negatives weigh the same."""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .weighting import at_least_float32


def balanced_bce_loss(logits: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
    r"""Mean loss of the positives plus that of the negatives, halved.

    With P valid positives and Q valid negatives,

    .. math:: L = -\frac{1}{2P} \sum_{+} \log \sigma(x) - \frac{1}{2Q} \sum_{-} \log(1 - \sigma(x))

    which is the weighted logistic loss of BSN (Lin et al., 2018) and G-TAD, there written with
    the coefficients ``0.5 r`` and ``0.5 r / (r - 1)``, r = (P + Q) / P. A half without elements
    is 0.

    Args:
        logits: x, any shape. Half precision is computed in float32.
        positive: bool, same shape.
        valid: bool, broadcastable to it; other elements do not count.

    Returns:
        A scalar.
    """
    logits = at_least_float32(logits)
    positive, negative = (positive & valid).to(logits.dtype), (~positive & valid).to(logits.dtype)
    of_positives = (F.softplus(-logits) * positive).sum() / positive.sum().clamp(min=1)
    of_negatives = (F.softplus(logits) * negative).sum() / negative.sum().clamp(min=1)
    return 0.5 * (of_positives + of_negatives)


@MODELS.register_module()
class BalancedBCELoss(nn.Module):
    """:func:`balanced_bce_loss` as a module.

    Args:
        loss_weight: Factor of the result.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss; see :func:`balanced_bce_loss`."""
        return self.loss_weight * balanced_bce_loss(logits, positive, valid)
