"""Assignment of ground truth to the points of a temporal pyramid."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmaction.registry import TASK_UTILS
from torch import Tensor

from .point_generator import Points

# Segments whose lengths differ by no more than this many steps share their points.
_SAME_LENGTH = 1e-3


class PointTargets(NamedTuple):
    """Targets of P points.

    Attributes:
        labels: ``(P, K)`` float32, 1 for each class of a point; all 0 for the background.
        offsets: ``(P, 2)`` float32 distances to start and end in units of the point's stride;
            0 for the background.
    """

    labels: Tensor
    offsets: Tensor


@TASK_UTILS.register_module()
class CenterSamplingAssigner:
    """ActionFormer's rule: points near the centre of a segment whose size fits their level.

    A point is positive for a segment if it lies strictly inside, less than ``radius`` strides of
    its level from the centre, and the distance to the farther end is within the level's range.
    Of several segments the shortest wins; those that are as short as it (to 1e-3 steps) add
    their classes, so a point can have several.

    Args:
        radius: In strides; None accepts all points inside a segment.
    """

    def __init__(self, radius: float | None = 1.5) -> None:
        self.radius = radius

    @torch.no_grad()
    def assign(
        self, points: Points, segments: Tensor, labels: Tensor, num_classes: int
    ) -> PointTargets:
        """Assign the segments of one sample.

        Args:
            points: P points.
            segments: ``(G, 2)`` start and end in feature steps.
            labels: ``(G,)`` int64.
            num_classes: K.

        Raises:
            ValueError: If segments and labels differ in number.
        """
        if len(segments) != len(labels):
            raise ValueError(f'{len(segments)} segments but {len(labels)} labels')
        positions = points.positions
        if len(segments) == 0:
            shape = (len(positions),)
            return PointTargets(
                positions.new_zeros((*shape, num_classes)), positions.new_zeros((*shape, 2))
            )
        segments = segments.to(positions)
        offsets = _offsets(points, segments)
        matched = self._matches(points, segments, offsets)
        lengths = (segments[:, 1] - segments[:, 0]).expand(len(positions), -1)
        lengths = lengths.masked_fill(~matched, math.inf)
        shortest, index = lengths.min(dim=1)
        chosen = matched & (lengths <= shortest[:, None] + _SAME_LENGTH)
        classes = F.one_hot(labels, num_classes).to(positions)
        point_labels = (chosen.to(positions) @ classes).clamp(max=1)
        rows = torch.arange(len(positions), device=positions.device)
        targets = offsets[rows, index] / points.strides[:, None]
        return PointTargets(point_labels, targets.masked_fill(~matched.any(1)[:, None], 0))

    def matches(self, points: Points, segments: Tensor) -> Tensor:
        """``(P, G)`` bool: which point may stand for which segment.

        Args:
            points: P points.
            segments: ``(G, 2)`` start and end in feature steps.
        """
        segments = segments.to(points.positions)
        return self._matches(points, segments, _offsets(points, segments))

    def _matches(self, points: Points, segments: Tensor, offsets: Tensor) -> Tensor:
        inside = offsets.amin(-1) > 0
        if self.radius is not None:
            centers = 0.5 * (segments[:, 0] + segments[:, 1])
            reach = points.strides[:, None] * self.radius
            positions = points.positions[:, None]
            inside = inside & (positions > centers - reach) & (positions < centers + reach)
        farthest = offsets.amax(-1)
        low, high = points.ranges[:, 0, None], points.ranges[:, 1, None]
        return inside & (farthest >= low) & (farthest <= high)


def _offsets(points: Points, segments: Tensor) -> Tensor:
    """``(P, G, 2)`` distances from points to starts and ends, in feature steps."""
    positions = points.positions[:, None]
    return torch.stack((positions - segments[:, 0], segments[:, 1] - positions), dim=-1)
