"""The dual-branch neck: one view of the features for appearance, one for motion."""

from __future__ import annotations

import copy
from typing import NamedTuple

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


class BranchFeatures(NamedTuple):
    """Features of the two branches, each ``(N, D, T)``."""

    appearance: Tensor
    motion: Tensor


@MODELS.register_module()
class DualBranchNeck(BaseModule):
    """Two separate projections of the same features (Lee et al., CVPR 2023).

    Args:
        branch: Config of one branch, a neck that maps ``(N, C, T)`` to ``(N, D, T)``; it is built
            twice, with weights of its own each time.
    """

    def __init__(self, branch: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.appearance = MODELS.build(copy.deepcopy(branch))
        self.motion = MODELS.build(copy.deepcopy(branch))

    def forward(self, feats: Tensor, masks: Tensor) -> BranchFeatures:
        """``(N, C, T)`` and ``(N, T)`` to both branches' ``(N, D, T)``."""
        return BranchFeatures(self.appearance(feats, masks), self.motion(feats, masks))
