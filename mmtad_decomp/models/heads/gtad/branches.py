"""The two kinds of predictions of G-TAD: at every step, and for every (start, duration) pair."""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...layers import GCNeXtBlock, SGAlignConv


class NodeBranch(nn.Module):
    """One logit for every step: a GCNeXt block and a linear layer.

    Args:
        channels: C.
        graph: Further arguments of :class:`GCNeXtBlock`.
    """

    def __init__(self, channels: int, graph: dict | None = None) -> None:
        super().__init__()
        self.block = GCNeXtBlock(channels, **(graph or {}))
        self.predictor = nn.Conv1d(channels, 1, 1)

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, T)``."""
        return self.predictor(self.block(feats, masks)).squeeze(1)


@MODELS.register_module()
class ScoreMapBranch(BaseModule):
    """Logits for every pair: SGAlign, then convolutions over the map.

    Steps behind the last valid one are zero for every convolution over the map, just as what lies
    outside of it, so predictions do not depend on how far a sample is padded. The defaults are
    G-TAD's for THUMOS'14.

    Args:
        in_channels: C.
        out_channels: Logits per pair.
        max_duration: D, durations of 1 to D steps.
        align_channels: Channels of SGAlign's convolution.
        map_channels: Channels of the convolutions over the map.
        num_layers: 3x3 convolutions.
        align: Further arguments of :class:`SGAlignConv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_duration: int,
        align_channels: int = 512,
        map_channels: int = 128,
        num_layers: int = 2,
        align: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.align = SGAlignConv(in_channels, align_channels, max_duration, **(align or {}))
        self.reduce = nn.Conv2d(align_channels, map_channels, 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(map_channels, map_channels, 3, padding=1) for _ in range(num_layers)
        )
        self.predictor = nn.Conv2d(map_channels, out_channels, 1)

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, out_channels, D, T)``.

        Args:
            feats: Features, zero at masked steps.
            masks: bool, True at the first L steps of a sample.
        """
        maps = F.relu(self.reduce(F.relu(self.align(feats, masks))))
        valid = masks[:, None, None].to(maps.dtype)
        for conv in self.convs:
            maps = F.relu(conv(maps * valid))
        return self.predictor(maps)
