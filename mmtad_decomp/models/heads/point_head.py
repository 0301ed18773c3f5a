"""Base class of heads that predict at the points of a temporal pyramid."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.utils.compilation import outside_of_graphs

from ..task_modules import CenterSamplingAssigner, PointGenerator, Points
from .candidate_head import CandidateHead
from .temporal_head import ExportedLengths


class PointHead(CandidateHead):
    """Points, their targets, and the decoding of what is predicted at them.

    Outputs must have ``masks``, ``(N, T_l)`` bool per level.

    Args:
        num_classes: K.
        in_channels: D, channels of the features.
        strides: Strides of the levels in feature steps; a subclass takes them from what makes the
            levels.
        point_generator: Config of the points; ``regress_ranges`` overrides the ranges
            (0, 4), (4, 8), ... and ``use_offset`` centres the points.
        assigner: Config of the assigner.
        loss_cls: Config of the loss of class logits.
        loss_reg: Config of the loss of offsets.
        min_length: Candidates need more than this length, in feature steps.
        **kwargs: Arguments of :class:`CandidateHead`: ``score_thr``, ``nms_pre`` per level.

    Attributes:
        point_generator: Makes the points of all levels.
        assigner: Assigns ground truth to points.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        strides: Sequence[int],
        /,
        point_generator: dict | None = None,
        assigner: dict | None = None,
        loss_cls: dict | None = None,
        loss_reg: dict | None = None,
        min_length: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.min_length = min_length
        self.point_generator: PointGenerator = TASK_UTILS.build(
            {'type': 'PointGenerator', **(point_generator or {}), 'strides': strides}
        )
        self.assigner: CenterSamplingAssigner = TASK_UTILS.build(
            {'type': 'CenterSamplingAssigner', **(assigner or {})}
        )
        self.loss_cls = MODELS.build({'type': 'SigmoidFocalLoss', **(loss_cls or {})})
        self.loss_reg = MODELS.build({'type': 'SegmentDIoULoss', **(loss_reg or {})})

    @abstractmethod
    def forward(self, feats: Tensor, masks: Tensor) -> Any:
        """Predict at every point.

        Args:
            feats: ``(N, D, T)``, any T; what padded steps hold does not matter.
            masks: ``(N, T)`` bool, True = valid.

        Returns:
            Levels of ``ceil(T / stride)`` points, zero at masked points.

        Raises:
            ValueError: If the features have not D channels.
        """

    def points(self, outputs: Any) -> list[Points]:
        """The points of every level of ``outputs``."""
        lengths = [mask.shape[1] for mask in outputs.masks]
        return self.point_generator(lengths, outputs.masks[0].device)

    @outside_of_graphs
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
        """The candidates of all levels, see :meth:`decode`."""
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
        scores, index = self.choose(scores.T.flatten())
        step, label = index // self.num_classes, index % self.num_classes
        reach = self._offsets_of(offsets, step, label).float() * points.strides[step, None]
        position = points.positions[step]
        segments = torch.stack((position - reach[:, 0], position + reach[:, 1]), dim=-1)
        long = segments[:, 1] - segments[:, 0] > self.min_length
        return segments[long], scores[long], label[long]

    def _offsets_of(self, offsets: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """``(M, 2)`` offsets of steps and classes ``(M,)``; here all classes share them."""
        return offsets.T[step]


def all_points(levels: Sequence[Tensor]) -> Tensor:
    """Levels ``(N, C, T_l)`` to ``(N, P, C)``, P the sum of their lengths."""
    return torch.cat(tuple(levels), dim=2).transpose(1, 2)
