"""Fusions without attention."""

from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from .branch_fusion import BranchFusion


@MODELS.register_module()
class ConcatFusion(BranchFusion):
    """``f_j = Conv1x1([f_a ; f_m])``."""

    def enhance(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The branches as they are."""
        return appearance, motion


@MODELS.register_module()
class SumFusion(BaseModule):
    """``f_j = f_a + f_m``, without weights of its own.

    Args:
        channels: Width D of a branch; part of the common interface.
    """

    def __init__(self, channels: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)

    def forward(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> Tensor:
        """Two ``(N, D, T)`` and ``(N, T)`` masks to ``(N, D, T)``."""
        return (appearance + motion).masked_fill(~masks[:, None], 0)
