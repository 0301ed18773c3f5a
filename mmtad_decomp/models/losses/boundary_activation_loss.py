"""Activation guided learning of AFSD: boundary features respond at boundaries and only there."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from .reduction import at_least_float32, batch_divisor

# Least distance to 0 and 1 whose logarithm is taken. Activations are shrunk to it, not clamped, so
# that 0 and 1 have a gradient.
_EPS = 1e-6


@MODELS.register_module()
class BoundaryActivationLoss(BaseModule):
    """Cross entropy of activations with marks of starts and ends (Lin et al., CVPR 2021).

    Args:
        loss_weight: Factor of the result.
    """

    def __init__(self, loss_weight: float = 1.0, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.loss_weight = loss_weight

    def forward(self, activations: Tensor, targets: Tensor, masks: Tensor) -> Tensor:
        """Mean over valid steps, summed over starts and ends.

        Args:
            activations: ``(N, 2, T)`` within [0, 1].
            targets: ``(N, 2, T)`` within [0, 1].
            masks: ``(N, T)`` bool, True = valid.

        Returns:
            A scalar; 0 where no step is valid.
        """
        activations = _EPS + (1 - 2 * _EPS) * at_least_float32(activations)
        targets = targets.to(activations)
        entropy = targets * activations.log() + (1 - targets) * torch.log1p(-activations)
        total = -(entropy * masks[:, None]).sum()
        return self.loss_weight * total / batch_divisor(masks.sum())
