"""What heads that predict at the points of a temporal pyramid have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from ..task_modules import CenterSamplingAssigner, PointGenerator, Points
from .temporal_head import TemporalHead


class PointHead(TemporalHead):
    """Points, their targets, and the decoding of what is predicted at them.

    Outputs must have ``masks``, ``(N, T_l)`` bool per level. A subclass sets the attributes.

    Attributes:
        num_classes: K.
        point_generator: Makes the points of all levels.
        assigner: Assigns ground truth to points.
        score_thr: Candidates need a score above this.
        nms_pre: Candidates kept per level.
        min_length: Candidates need more than this length, in feature steps.
    """

    num_classes: int
    point_generator: PointGenerator
    assigner: CenterSamplingAssigner
    score_thr: float
    nms_pre: int
    min_length: float

    def points(self, outputs: Any) -> list[Points]:
        """The points of every level of ``outputs``."""
        lengths = [mask.shape[1] for mask in outputs.masks]
        return self.point_generator(lengths, outputs.masks[0].device)

    def targets(self, outputs: Any, gt: Sequence[InstanceData]) -> tuple[Tensor, Tensor]:
        """Targets of all points, the levels one after the other.

        Args:
            outputs: Outputs whose points are meant.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            Labels ``(N, P, K)`` and offsets ``(N, P, 2)`` in strides.
        """
        points = Points(*(torch.cat(field) for field in zip(*self.points(outputs))))
        assigned = [
            self.assigner.assign(
                points,
                sample.segments.to(points.positions.device),
                sample.labels.to(points.positions.device),
                self.num_classes,
            )
            for sample in gt
        ]
        return torch.stack([t.labels for t in assigned]), torch.stack(
            [t.offsets for t in assigned]
        )

    def can_serve(self, segments: Tensor, steps: int) -> Tensor:
        """Which segments have a point that may stand for them, other segments aside.

        Args:
            segments: ``(G, 2)`` start and end in feature steps.
            steps: T, length of the features.

        Returns:
            ``(G,)`` bool.
        """
        lengths = [math.ceil(steps / stride) for stride in self.point_generator.strides]
        points = Points(*(torch.cat(field) for field in zip(*self.point_generator(lengths))))
        return self.assigner.matches(points, segments).any(dim=0)

    def decode(
        self,
        scores: Sequence[Tensor],
        offsets: Sequence[Tensor],
        points: Sequence[Points],
    ) -> list[InstanceData]:
        """Candidates: above ``score_thr``, the ``nms_pre`` best per level, long enough.

        Args:
            scores: ``(N, K, T_l)`` per level, 0 at masked points.
            offsets: ``(N, 2, T_l)`` per level, in strides.
            points: Per level.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,),
            the levels one after the other, by falling score within each.
        """
        results = []
        for sample in range(len(scores[0])):
            levels = zip(scores, offsets, points)
            parts = [self._decode_level(s[sample], o[sample], level) for s, o, level in levels]
            segments, best, labels = (torch.cat(field) for field in zip(*parts))
            results.append(InstanceData(segments=segments, scores=best, labels=labels))
        return results

    def _decode_level(
        self, scores: Tensor, offsets: Tensor, points: Points
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Segments, scores and labels of one level of one sample."""
        scores = scores.T.flatten()
        scores, index = scores.topk(min(self.nms_pre, len(scores)))
        above = scores > self.score_thr
        scores, index = scores[above], index[above]
        step = index // self.num_classes
        reach = offsets.float().T[step] * points.strides[step, None]
        position = points.positions[step]
        segments = torch.stack((position - reach[:, 0], position + reach[:, 1]), dim=-1)
        long = segments[:, 1] - segments[:, 0] > self.min_length
        return segments[long], scores[long], index[long] % self.num_classes
