"""Regression of a map of tIoUs in which low, middle and high targets count about the same."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..layers import recoverable_sigmoid
from .reduction import at_least_float32, batch_divisor, over_processes


@MODELS.register_module()
class ScoreMapRegressionLoss(nn.Module):
    """Half the mean squared error of scores, over a balanced choice of pairs (BMN, G-TAD).

    With h pairs whose target is above ``high``, each of the m pairs in ``(low, high]`` is drawn
    with probability ``min(h / m, 1)`` and each of the l pairs in ``(0, low]`` with
    ``min(h / l, 1)``. Pairs with target 0 do not count. Where h is 0 it is taken for 1.

    Args:
        low: Upper bound of the low targets.
        high: Upper bound of the middle targets.
        draw: False counts every pair with its probability as a weight instead of drawing it (the
            expected sums without the noise).
        loss_weight: Factor of the result.
    """

    def __init__(
        self, low: float = 0.3, high: float = 0.7, draw: bool = True, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.low = low
        self.high = high
        self.draw = draw
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: Scores before the sigmoid, any shape. Half precision is computed in float32.
            targets: tIoUs in [0, 1], same shape.
            valid: bool, same shape; other pairs do not count.

        Returns:
            A scalar, 0 with a gradient path where no pair counts.
        """
        logits = at_least_float32(logits)
        weights = self.weights(targets.to(logits.dtype), valid)
        errors = (recoverable_sigmoid(logits) - targets).square()
        return self.loss_weight * 0.5 * (errors * weights).sum() / batch_divisor(weights.sum())

    @torch.no_grad()
    def weights(self, targets: Tensor, valid: Tensor) -> Tensor:
        """How much every pair counts, in [0, 1]."""
        high = valid & (targets > self.high)
        middle = valid & (targets > self.low) & (targets <= self.high)
        low = valid & (targets > 0) & (targets <= self.low)
        counts = torch.stack([group.sum() for group in (high, middle, low)])
        count, *others = over_processes(counts).clamp(min=1).to(targets.dtype)
        probability = high.to(targets.dtype)
        for group, other in zip((middle, low), others):
            probability += group * (count / other).clamp(max=1)
        if not self.draw:
            return probability
        return (torch.rand_like(probability) < probability).to(probability.dtype)
