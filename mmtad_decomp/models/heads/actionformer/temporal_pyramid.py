"""Feature pyramid over the levels of a temporal encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...layers import MaskedConv1d, MaskedLayerNorm


@MODELS.register_module()
class TemporalPyramid(BaseModule):
    """Normalise every level, optionally after adding each coarser level to the finer one.

    Args:
        in_channels: Channels of every level.
        num_levels: Levels.
        out_channels: Channels of the result; without ``top_down`` those of the input.
        top_down: Add a top-down path: 1x1 convolutions, nearest-neighbour upsampling and
            addition, and a depth-wise convolution per level.

    Raises:
        ValueError: If ``out_channels`` differs from ``in_channels`` without ``top_down``.
    """

    def __init__(
        self,
        in_channels: int,
        num_levels: int,
        out_channels: int | None = None,
        top_down: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.out_channels = in_channels if out_channels is None else out_channels
        if not top_down and self.out_channels != in_channels:
            raise ValueError(
                f'a pyramid without top_down keeps its {in_channels} channels, got '
                f'out_channels={out_channels}'
            )
        self.top_down = top_down
        self.norms = nn.ModuleList(MaskedLayerNorm(self.out_channels) for _ in range(num_levels))
        if top_down:
            width = self.out_channels
            self.laterals = nn.ModuleList(
                MaskedConv1d(in_channels, width, 1, bias=False) for _ in range(num_levels)
            )
            self.convs = nn.ModuleList(
                MaskedConv1d(width, width, 3, groups=width, bias=False) for _ in range(num_levels)
            )

    def _merge(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
        merged = [conv(x, mask) for conv, x, mask in zip(self.laterals, feats, masks)]
        for level in range(len(merged) - 1, 0, -1):
            coarse = F.interpolate(merged[level], size=merged[level - 1].shape[2])
            merged[level - 1] = merged[level - 1] + coarse
        return [conv(x, mask) for conv, x, mask in zip(self.convs, merged, masks)]

    def forward(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            feats: ``(N, C, T_l)`` per level, from fine to coarse.
            masks: ``(N, T_l)`` bool per level.

        Returns:
            ``(N, out_channels, T_l)`` per level.
        """
        if self.top_down:
            feats = self._merge(feats, masks)
        # Contiguous once: the convolutions of both branches would each copy every level.
        return tuple(norm(x).contiguous() for norm, x in zip(self.norms, feats))
