"""Fusions by attention over time: self-, cross- and differential attention."""

from __future__ import annotations

from typing import ClassVar

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtad_decomp.ops.local_attention import local_attention

from ..layers import check_heads
from .branch_fusion import BranchFusion


class _TemporalAttention(BaseModule):
    """Multi-head attention from one branch to another, with a residual."""

    def __init__(self, channels: int, num_heads: int, window: int | None) -> None:
        super().__init__()
        check_heads(channels, num_heads)
        self.num_heads = num_heads
        self.window = window
        self.query, self.key, self.value, self.out = (
            nn.Conv1d(channels, channels, 1) for _ in range(4)
        )

    def _split(self, feats: Tensor) -> Tensor:
        return feats.unflatten(1, (self.num_heads, -1)).transpose(2, 3)

    def forward(self, target: Tensor, reference: Tensor, masks: Tensor) -> Tensor:
        mixed = local_attention(
            self._split(self.query(target)),
            self._split(self.key(reference)),
            self._split(self.value(reference)),
            masks,
            self.window,
        )
        return target + self.out(mixed.transpose(2, 3).flatten(1, 2))


class _AttentionFusion(BranchFusion):
    """Base of self- and cross-attention fusion.

    Args:
        channels: Width D of a branch.
        num_heads: Attention heads.
        window: Odd number of steps that a step attends to, centred on it; None is the whole
            sequence.

    Attributes:
        crossed: Whether a branch attends to the other one, not to itself.
    """

    crossed: ClassVar[bool]

    def __init__(
        self,
        channels: int,
        num_heads: int = 4,
        window: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(channels, init_cfg=init_cfg)
        self.appearance_attention = _TemporalAttention(channels, num_heads, window)
        self.motion_attention = _TemporalAttention(channels, num_heads, window)

    def enhance(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of both branches."""
        read = (motion, appearance) if self.crossed else (appearance, motion)
        return (
            self.appearance_attention(appearance, read[0], masks),
            self.motion_attention(motion, read[1], masks),
        )


@MODELS.register_module()
class SelfAttentionFusion(_AttentionFusion):
    """Each branch attends to itself before the merge."""

    crossed = False


@MODELS.register_module()
class CrossAttentionFusion(_AttentionFusion):
    """Each branch attends to the other one before the merge."""

    crossed = True


@MODELS.register_module()
class DiffAttentionFusion(BranchFusion):
    """Each branch takes over, channel by channel, what sets the other apart.

    ``d = f_m - f_a``, ``f~_a = f_a + tanh(mean(d)) * d``, ``f~_m = f_m - tanh(mean(d)) * d`` with
    the mean over valid steps: the differential modality-aware fusion of Zhou et al., "Improving
    Multispectral Pedestrian Detection by Addressing Modality Imbalance Problems", ECCV 2020, on
    sequences. The paper names this row of its ablation without a formula; this is our reading.
    """

    def enhance(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange the gated difference."""
        valid = masks[:, None]
        difference = (motion - appearance).masked_fill(~valid, 0)
        steps = valid.sum(dim=2, keepdim=True).clamp(min=1)
        exchange = torch.tanh(difference.sum(dim=2, keepdim=True) / steps) * difference
        return appearance + exchange, motion - exchange
