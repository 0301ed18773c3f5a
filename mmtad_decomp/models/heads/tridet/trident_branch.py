"""TriDet's boundary branch: distances as expectations over the neighbouring steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..point_branches import ClassificationBranch


def expected_distances(start: Tensor, end: Tensor, center: Tensor) -> Tensor:
    r"""Distances of every point to the start and the end (Shi et al., "TriDet", CVPR 2023).

    With B bins, the boundary responses s and e of a class and the offsets c of a point t,

    .. math:: d_s(t) = \sum_{b=0}^{B} b \, p_b, \quad
        p = softmax_b(s_{t - b} + c_{t, b})

    and the same for the end with :math:`e_{t + b}`. Responses outside of the sequence are 0.

    Args:
        start: ``(N, K, T)`` responses.
        end: ``(N, K, T)`` responses.
        center: ``(N, 2 (B + 1), T)``: B + 1 offsets of the start from the farthest bin to the
            nearest, then B + 1 of the end from the nearest to the farthest.

    Returns:
        ``(N, K, 2, T)`` in steps, within [0, B].
    """
    bins = center.shape[1] // 2 - 1
    # (N, K, T, B + 1): the steps t - B ... t for the start, t ... t + B for the end.
    before = F.pad(start, (bins, 0)).unfold(2, bins + 1, 1)
    after = F.pad(end, (0, bins)).unfold(2, bins + 1, 1)
    # (N, 2, T, B + 1)
    center = center.unflatten(1, (2, -1)).transpose(2, 3)
    distance = torch.arange(bins + 1, dtype=center.dtype, device=center.device)
    at_start = (before + center[:, None, 0]).softmax(dim=-1)
    at_end = (after + center[:, None, 1]).softmax(dim=-1)
    distances = ((at_start * distance.flip(0)).sum(dim=-1), (at_end * distance).sum(dim=-1))
    return torch.stack(distances, dim=2)


class TridentBranch(nn.Module):
    """Start, end and centre branches, and the distances that follow from them.

    The start and end branches read the features without a gradient into them.

    Args:
        in_channels: Channels of the pyramid.
        channels: Width of the branches.
        num_classes: K.
        num_levels: Levels; each has a learnt scale of the centre's offsets.
        num_bins: B, the largest distance in strides.
        **layers: ``num_layers`` and ``kernel_size`` of each branch, see :class:`.PointBranch`.

    Raises:
        ValueError: If ``num_bins`` is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        num_levels: int,
        num_bins: int = 16,
        **layers: int,
    ) -> None:
        super().__init__()
        if num_bins < 1:
            raise ValueError(f'num_bins must be at least 1, got {num_bins}')
        # A prior of 0.5 is a bias of 0: a response like those outside of the sequence.
        self.start, self.end, self.center = (
            ClassificationBranch(in_channels, channels, out_channels, 0.5, **layers)
            for out_channels in (num_classes, num_classes, 2 * (num_bins + 1))
        )
        self.scales = nn.Parameter(torch.ones(num_levels))

    def forward(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels ``(N, C, T_l)`` to distances ``(N, K, 2, T_l)`` in strides, 0 at masked steps."""
        fixed = [x.detach() for x in feats]
        levels = zip(
            self.start(fixed, masks),
            self.end(fixed, masks),
            self.center(feats, masks),
            masks,
            self.scales,
        )
        return tuple(
            expected_distances(start, end, torch.relu(center * scale)) * mask[:, None, None]
            for start, end, center, mask, scale in levels
        )
