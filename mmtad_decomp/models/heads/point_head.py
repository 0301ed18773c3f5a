"""Base class of heads that predict at the points of a temporal pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.structures import InstanceData
from torch import Tensor

from ..losses.reduction import over_processes
from ..task_modules import CenterSamplingAssigner, PointGenerator, Points
from .temporal_head import ExportedLengths, TemporalHead


class PointHead(TemporalHead):
    """Points, their targets, and the decoding of what is predicted at them.

    Outputs must have ``masks``, ``(N, T_l)`` bool per level. A subclass sets the attributes.

    Args:
        num_classes: K.
        in_channels: D, channels of the features.
        score_thr: Candidates need a score above this.
        nms_pre: Candidates kept per level.
        min_length: Candidates need more than this length, in feature steps.
        loss_norm: First value of the moving average of positives; None: there is none.
        loss_norm_momentum: Its momentum.

    Attributes:
        point_generator: Makes the points of all levels.
        assigner: Assigns ground truth to points.
    """

    point_generator: PointGenerator
    assigner: CenterSamplingAssigner

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        score_thr: float,
        nms_pre: int,
        min_length: float,
        loss_norm: float | None = None,
        loss_norm_momentum: float = 0.9,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.score_thr = score_thr
        self.nms_pre = nms_pre
        self.min_length = min_length
        self.loss_norm_momentum = loss_norm_momentum
        if loss_norm is not None:
            self.register_buffer('loss_norm', torch.tensor(float(loss_norm)))

    @torch.no_grad()
    def average_positives(self, num_positive: Tensor) -> Tensor:
        """Moving average of the number of positive points, advanced while training.

        Args:
            num_positive: Scalar, of this process's part of the batch.

        Returns:
            What this process's sums are divided by, see
            :func:`~mmtad_decomp.models.losses.reduction.batch_divisor`.
        """
        if self.training:
            current = over_processes(num_positive).clamp(min=1).to(self.loss_norm)
            self.loss_norm.lerp_(current, 1 - self.loss_norm_momentum)
        return self.loss_norm / get_world_size()

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

    def scores_and_offsets(self, outputs: Any) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Scores ``(N, K, T_l)``, 0 at masked points, and offsets in strides, per level."""
        scores = [
            logits.float().sigmoid() * mask[:, None]
            for logits, mask in zip(outputs.cls_logits, outputs.masks)
        ]
        return scores, outputs.offsets

    @torch.no_grad()
    def predict_by_feat(self, outputs: Any) -> list[InstanceData]:
        """See :meth:`decode`.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,).
        """
        return self.decode(*self.scores_and_offsets(outputs), self.points(outputs))

    def dense_predictions(self, outputs: Any) -> dict[str, Tensor]:
        """``scores_l`` ``(N, K, T_l)`` and ``segments_l`` ``(N, T_l, 2)`` of every level l.

        Where every class has offsets of its own, segments are ``(N, K, T_l, 2)``.
        """
        found = {}
        levels = zip(*self.scores_and_offsets(outputs), self.points(outputs))
        for level, (scores, offsets, points) in enumerate(levels):
            reach = offsets.float() * points.strides
            ends = (points.positions - reach[..., 0, :], points.positions + reach[..., 1, :])
            found[f'scores_{level}'] = scores
            found[f'segments_{level}'] = torch.stack(ends, dim=-1)
        return found

    def exported_lengths(self) -> ExportedLengths:
        """Multiples of the coarsest stride: all levels then have whole numbers of points."""
        return ExportedLengths(self.point_generator.strides[-1])

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
        step, label = index // self.num_classes, index % self.num_classes
        reach = self._offsets_of(offsets, step, label).float() * points.strides[step, None]
        position = points.positions[step]
        segments = torch.stack((position - reach[:, 0], position + reach[:, 1]), dim=-1)
        long = segments[:, 1] - segments[:, 0] > self.min_length
        return segments[long], scores[long], label[long]

    def _offsets_of(self, offsets: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """``(M, 2)`` offsets of steps and classes ``(M,)``; here all classes share them."""
        return offsets.T[step]
