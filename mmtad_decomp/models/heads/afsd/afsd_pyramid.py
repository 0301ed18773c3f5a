"""The temporal pyramid of AFSD, and its features with the finest steps."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ...layers import downsample_mask
from .branches import ConvUnit, Tower


class Pyramid(NamedTuple):
    """Outputs of :class:`AFSDPyramid`.

    Attributes:
        levels: ``(N, C, T_l)`` from fine to coarse.
        level_masks: ``(N, T_l)`` bool per level, True = valid.
        fine: ``(N, C, T * fine_scale)``.
        fine_masks: ``(N, T * fine_scale)`` bool.
    """

    levels: tuple[Tensor, ...]
    level_masks: tuple[Tensor, ...]
    fine: Tensor
    fine_masks: Tensor


class AFSDPyramid(nn.Module):
    """Levels by strided convolutions, and fine features by upsampling the first of them.

    Step i of a level with stride s lies at feature step ``i * s``; step f of the fine features at
    ``(f + 0.5) / fine_scale - 0.5``.

    Args:
        in_channels: Channels of the features.
        channels: Width C.
        num_levels: Levels, each with twice the stride of the one before.
        first_stride: Stride of the first level, a power of two.
        fine_scale: Fine steps per feature step.
        num_groups: Groups of the norms.

    Raises:
        ValueError: If ``first_stride`` is not a power of two.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_levels: int,
        first_stride: int,
        fine_scale: int,
        num_groups: int,
    ) -> None:
        super().__init__()
        if first_stride < 1 or first_stride & (first_stride - 1):
            raise ValueError(f'first_stride must be a power of two, got {first_stride}')
        self.first_stride = first_stride
        self.fine_scale = fine_scale
        self.strides = tuple(first_stride * 2**level for level in range(num_levels))
        self.embed = ConvUnit(in_channels, channels, 1, num_groups)
        halvings = first_stride.bit_length() - 1 + num_levels - 1
        self.halvings = nn.ModuleList(
            ConvUnit(channels, channels, 3, num_groups, stride=2) for _ in range(halvings)
        )
        self.fine = Tower(channels, (3, 3, 1), num_groups)

    def forward(self, feats: Tensor, masks: Tensor) -> Pyramid:
        """Compute levels and fine features.

        Args:
            feats: ``(N, in_channels, T)``, finite everywhere.
            masks: ``(N, T)`` bool, True = valid.
        """
        levels, level_masks = [self.embed(feats, masks)], [masks]
        for halving in self.halvings:
            levels.append(halving(levels[-1], level_masks[-1]))
            level_masks.append(downsample_mask(level_masks[-1], 2))
        embedded = levels[0]
        skipped = len(levels) - len(self.strides)
        levels, level_masks = levels[skipped:], level_masks[skipped:]
        if len(levels) > 1:
            levels[0] = levels[0] + _stretch(levels[1], 2, levels[0].shape[2])
            levels[0] = levels[0] * level_masks[0][:, None]
        fine = levels[0]
        if skipped:
            fine = embedded + _stretch(fine, self.first_stride, embedded.shape[2])
        fine = fine.repeat_interleave(self.fine_scale, dim=2)
        fine_masks = masks.repeat_interleave(self.fine_scale, dim=1)
        fine = self.fine(fine * fine_masks[:, None], fine_masks)
        return Pyramid(tuple(levels), tuple(level_masks), fine, fine_masks)


def _stretch(feats: Tensor, factor: int, length: int) -> Tensor:
    """Repeat every step ``factor`` times and cut to ``length``."""
    return feats.repeat_interleave(factor, dim=2)[..., :length]
