"""Base class of the fusions of the two branches."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn


class BranchFusion(BaseModule):
    """Base: enhance each branch with the help of the other, then merge them.

    ``f_j = Conv1x1([f~_a ; f~_m])``. Subclasses say how a branch is enhanced.

    Args:
        channels: Width D of a branch.
    """

    def __init__(self, channels: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.merge = nn.Conv1d(2 * channels, channels, kernel_size=1)

    def forward(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> Tensor:
        """Fuse the branches.

        Args:
            appearance: ``(N, D, T)``.
            motion: ``(N, D, T)``.
            masks: ``(N, T)`` bool, True at valid steps.

        Returns:
            ``(N, D, T)``, zero at masked steps.
        """
        enhanced = self.enhance(appearance, motion, masks)
        return self.merge(torch.cat(enhanced, dim=1)).masked_fill(~masks[:, None], 0)

    def enhance(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """The enhanced branches ``f~_a`` and ``f~_m``, each ``(N, D, T)``."""
        raise NotImplementedError
