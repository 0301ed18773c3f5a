"""The two kinds of predictions of G-TAD: at every step, and for every (start, duration) pair."""

from __future__ import annotations

import torch
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
        num_layers: Convolutions over the map.
        kernel_size: Their kernel size, odd: 3 in G-TAD's release for THUMOS'14, 1 in that for
            ActivityNet.
        align: Further arguments of :class:`SGAlignConv`.

    Raises:
        ValueError: If the kernel size is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_duration: int,
        align_channels: int = 512,
        map_channels: int = 128,
        num_layers: int = 2,
        kernel_size: int = 3,
        align: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f'ScoreMapBranch: kernel_size must be odd, got {kernel_size}')
        self.align = SGAlignConv(in_channels, align_channels, max_duration, **(align or {}))
        self.reduce = nn.Conv2d(align_channels, map_channels, 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(map_channels, map_channels, kernel_size, padding=kernel_size // 2)
            for _ in range(num_layers)
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


def boundary_peaks(scores: Tensor, masks: Tensor, ratio: float) -> Tensor:
    """Steps at which a boundary is likely, after BSN (Lin et al., 2018).

    These are the local maxima, and the steps that score above ``ratio`` times the best one. The
    first and the last valid step have one neighbour, and are none.

    Args:
        scores: ``(N, T)`` in [0, 1].
        masks: ``(N, T)`` bool, True at the first L steps of a sample.
        ratio: See above.

    Returns:
        ``(N, T)`` bool.
    """
    scores = scores.masked_fill(~masks, -1)
    inner, higher = torch.zeros_like(masks), torch.zeros_like(masks)
    inner[:, 1:-1] = masks[:, 2:]
    middle = scores[:, 1:-1]
    higher[:, 1:-1] = (middle > scores[:, :-2]) & (middle > scores[:, 2:])
    return inner & (higher | (scores > ratio * scores.amax(dim=1, keepdim=True)))


def pairs_between_peaks(
    starts: Tensor, ends: Tensor, masks: Tensor, max_duration: int, ratio: float
) -> Tensor:
    """Pairs that begin at a likely start and end at a likely end.

    Pair (d, s) begins at step s and ends where step s + d + 1 begins, which must be a valid step.
    The first valid step always starts, and the last one always ends, as in G-TAD's release for
    ActivityNet.

    Args:
        starts: ``(N, T)`` start scores in [0, 1].
        ends: ``(N, T)`` end scores.
        masks: ``(N, T)`` bool, True at the first L steps of a sample.
        max_duration: D.
        ratio: See :func:`boundary_peaks`.

    Returns:
        ``(N, D, T)`` bool.
    """
    first, last = masks.clone(), masks & ~F.pad(masks[:, 1:], (0, 1))
    first[:, 1:] = False
    starts = first | boundary_peaks(starts, masks, ratio)
    ends = last | boundary_peaks(ends, masks, ratio)
    # (N, T + D) -> (N, T, D): column d of row s is step s + d + 1
    reached = F.pad(ends, (0, max_duration))[:, 1:].unfold(1, max_duration, 1)
    return starts[:, None] & reached.transpose(1, 2)
