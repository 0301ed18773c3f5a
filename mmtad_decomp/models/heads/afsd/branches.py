"""The parts of AFSD's head: towers, predictors and the refinement of coarse segments."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import (
    MaskedConv1d,
    MaskedGroupNorm,
    boundary_max_pool,
    downsample_mask,
    straight_through_clamp,
)

# exp(10) strides are more than any window and far from infinity; exp(-10) strides are nothing.
_LARGEST_EXPONENT = 10.0


class ConvUnit(nn.Module):
    """Convolution, group norm over valid steps, ReLU; zero at masked steps.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, a multiple of ``num_groups``.
        kernel_size: Odd kernel size.
        num_groups: Groups of the norm.
        stride: Steps between outputs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        num_groups: int,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = MaskedConv1d(in_channels, out_channels, kernel_size, stride)
        nn.init.xavier_uniform_(self.conv.conv.weight)
        self.norm = MaskedGroupNorm(num_groups, out_channels)

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, out_channels, ceil(T / stride))``."""
        out_masks = downsample_mask(masks, self.conv.stride)
        return F.relu(self.norm(self.conv(feats, masks), out_masks))


class Tower(nn.Module):
    """A row of :class:`ConvUnit` of one width.

    Args:
        channels: Width.
        kernel_sizes: One for each unit.
        num_groups: Groups of the norms.
    """

    def __init__(self, channels: int, kernel_sizes: tuple[int, ...], num_groups: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            ConvUnit(channels, channels, size, num_groups) for size in kernel_sizes
        )

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, C, T)``."""
        for unit in self.units:
            feats = unit(feats, masks)
        return feats


class Predictor(MaskedConv1d):
    """The convolution that predicts; always in the precision of its weights.

    Its weights start near 0: coarse segments one stride to both sides, and no correction of them.

    Args:
        in_channels: Channels of the input.
        out_channels: Predictions per step.
        kernel_size: Odd kernel size.
        prior_prob: Probability that the bias gives at first; None leaves the bias at 0.

    Raises:
        ValueError: If ``prior_prob`` is not within (0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        prior_prob: float | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        nn.init.normal_(self.conv.weight, std=0.01)
        if prior_prob is not None:
            if not 0 < prior_prob < 1:
                raise ValueError(f'prior_prob must be within (0, 1), got {prior_prob}')
            nn.init.constant_(self.conv.bias, math.log(prior_prob / (1 - prior_prob)))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, out_channels, T)``, zero at masked steps."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.conv.weight.dtype), mask)


class OffsetPredictor(nn.Module):
    """Positive distances to start and end, ``exp(scale * x)``, in strides of the level.

    The exponent counts as within [-10, 10] but keeps its gradient outside.

    Args:
        in_channels: Channels of the features.
        num_levels: Levels; each has a learnt scale.
    """

    def __init__(self, in_channels: int, num_levels: int) -> None:
        super().__init__()
        self.predictor = Predictor(in_channels, 2, 3)
        self.scales = nn.Parameter(torch.ones(num_levels))

    def forward(self, feats: Tensor, masks: Tensor, level: int) -> Tensor:
        """``(N, C, T_l)`` and ``(N, T_l)`` to ``(N, 2, T_l)``, zero at masked steps."""
        exponent = self.predictor(feats, masks) * self.scales[level]
        exponent = straight_through_clamp(exponent, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
        return exponent.exp() * masks[:, None]


class Refined(NamedTuple):
    """Outputs of :class:`RefinementBranch`.

    Attributes:
        feats: ``(N, C, T_l)`` from which the refined prediction is made.
        boundary_feats: ``(N, 2C, T_l)`` that were pooled: one half for starts, one for ends.
    """

    feats: Tensor
    boundary_feats: Tensor


class RefinementBranch(nn.Module):
    """Saliency-based refinement: a point's own features and those around its boundaries.

    Boundary features of the point's level and of the finest steps are pooled around the start and
    the end of the point's coarse segment and merged with the features of the point.

    Args:
        channels: C, even.
        num_groups: Groups of the norms.
        inner: Share of a segment's length that is pooled inside of its boundaries.
        outer: Share that is pooled outside of them.
    """

    def __init__(self, channels: int, num_groups: int, inner: float, outer: float) -> None:
        super().__init__()
        self.neighborhood = (inner, outer)
        self.point = ConvUnit(channels, channels, 1, num_groups)
        self.boundary = ConvUnit(channels, 2 * channels, 1, num_groups)
        self.fine = ConvUnit(channels, channels, 1, num_groups)
        self.merge = ConvUnit(4 * channels, channels, 1, num_groups)

    def forward(self, feats: Tensor, masks: Tensor, segments: Tensor, pooled: Tensor) -> Refined:
        """Refine the features of one level.

        Args:
            feats: ``(N, C, T_l)``.
            masks: ``(N, T_l)`` bool, True = valid.
            segments: ``(N, T_l, 2)`` coarse segments in steps of the level.
            pooled: ``(N, C, T_l)`` maxima of the finest features around their boundaries.
        """
        boundary = self.boundary(feats, masks)
        parts = (
            self.fine(pooled, masks),
            boundary_max_pool(boundary, segments, masks, *self.neighborhood),
            self.point(feats, masks),
        )
        return Refined(self.merge(torch.cat(parts, dim=1), masks), boundary)
