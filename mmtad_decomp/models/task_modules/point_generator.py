"""Positions of the points of every level of a temporal pyramid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor


class Points(NamedTuple):
    """Points of one or more levels; every field is float32 over P points, in feature steps.

    Attributes:
        positions: ``(P,)`` where the point lies.
        ranges: ``(P, 2)`` least and largest distance that the point's level regresses.
        strides: ``(P,)`` stride of the point's level.
    """

    positions: Tensor
    ranges: Tensor
    strides: Tensor


def default_regress_ranges(num_levels: int) -> list[tuple[float, float]]:
    """ActionFormer's ranges: (0, 4), (4, 8), (8, 16), ..., doubling, the last without limit.

    Raises:
        ValueError: If ``num_levels`` is not positive.
    """
    if num_levels < 1:
        raise ValueError(f'num_levels must be at least 1, got {num_levels}')
    bounds = [0.0] + [4.0 * 2**level for level in range(num_levels - 1)] + [math.inf]
    return list(itertools.pairwise(bounds))


@TASK_UTILS.register_module()
class PointGenerator:
    """One point per step of every level: step i of a level with stride s lies at ``i * s``.

    Args:
        strides: Stride of every level, in feature steps.
        regress_ranges: Per level the least and the largest distance to a segment's farther end
            that the level regresses, in feature steps; ``inf`` for no limit. Default:
            :func:`default_regress_ranges`.
        use_offset: Put the points at the centre of the steps that they stand for,
            ``(i + 0.5) * s``, in place of the first of them.

    Raises:
        ValueError: If the numbers of strides and ranges differ, or a range is empty.
    """

    def __init__(
        self,
        strides: Sequence[int],
        regress_ranges: Sequence[Sequence[float]] | None = None,
        use_offset: bool = False,
    ) -> None:
        self.strides = tuple(strides)
        ranges = default_regress_ranges(len(self.strides))
        if regress_ranges is not None:
            ranges = [(float(low), float(high)) for low, high in regress_ranges]
        if len(ranges) != len(self.strides):
            raise ValueError(
                f'regress_ranges needs one (low, high) per level: {len(self.strides)} levels, '
                f'{len(ranges)} ranges'
            )
        if any(len(bounds) != 2 or not bounds[0] < bounds[1] for bounds in ranges):
            raise ValueError(f'regress_ranges must be pairs (low, high) with low < high: {ranges}')
        self.regress_ranges = ranges
        self.use_offset = use_offset

    def __call__(self, lengths: Sequence[int], device: torch.device | str = 'cpu') -> list[Points]:
        """Generate the points of all levels.

        Args:
            lengths: Steps of every level.
            device: Where the tensors shall lie.

        Raises:
            ValueError: If the number of levels differs from the number of strides.
        """
        if len(lengths) != len(self.strides):
            raise ValueError(f'expected {len(self.strides)} levels, got {len(lengths)}')
        levels = []
        for length, stride, bounds in zip(lengths, self.strides, self.regress_ranges):
            positions = torch.arange(length, dtype=torch.float32, device=device) * stride
            if self.use_offset:
                positions = positions + 0.5 * stride
            # (length, 2), filled on the device: a copy from the host would wait for a GPU's queue
            ranges = torch.stack([torch.full_like(positions, bound) for bound in bounds], dim=1)
            levels.append(Points(positions, ranges, torch.full_like(positions, stride)))
        return levels
