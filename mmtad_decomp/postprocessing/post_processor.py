"""From the raw candidates of a video's windows to its detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmaction.registry import TASK_UTILS

from .nms import nms_1d, segment_voting, soft_nms_1d

_NMS_OPTIONS = {
    'soft_nms': {'method', 'sigma', 'iou_thr', 'min_score', 'class_aware'},
    'nms': {'iou_thr', 'class_aware'},
}


class Detections(NamedTuple):
    """Segments of one video.

    Attributes:
        segments: ``(N, 2)`` float64 seconds.
        scores: ``(N,)`` float64, falling after post-processing.
        labels: ``(N,)`` int64.
    """

    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def _check_nms(nms: dict | None) -> dict | None:
    if nms is None or nms.get('type') is None:
        return None
    options = {key: value for key, value in nms.items() if key != 'type'}
    kind = nms['type']
    if kind not in _NMS_OPTIONS:
        raise ValueError(f'nms.type must be one of {sorted(_NMS_OPTIONS)} or None, got {kind!r}')
    unknown = set(options) - _NMS_OPTIONS[kind]
    if unknown:
        raise ValueError(
            f'nms has unknown options {sorted(unknown)}; {kind} knows {sorted(_NMS_OPTIONS[kind])}'
        )
    if kind == 'nms' and 'iou_thr' not in options:
        raise ValueError("nms of type 'nms' needs iou_thr")
    return dict(type=kind, class_aware=options.pop('class_aware', True), **options)


@TASK_UTILS.register_module()
class PostProcessor:
    """Suppress, refine and bound the candidates of one video.

    The steps, in order: drop scores <= ``score_thr`` and segments shorter than ``min_length``;
    keep the ``pre_nms_topk`` best; suppress; vote; keep the ``max_per_video`` best; clip to the
    video and drop what has no length left. As in ActionFormer, clipping comes last, so a
    candidate that runs past the video counts with its whole length until then.

    Args:
        score_thr: Candidates must score higher.
        pre_nms_topk: Candidates of the whole video that enter suppression; None for all.
        min_length: Shortest candidate in seconds.
        nms: ``dict(type='soft_nms', method='gaussian', sigma=0.5, iou_thr=0.3, min_score=0.001,
            class_aware=True)``, ``dict(type='nms', iou_thr=0.5, class_aware=True)``, or None for
            no suppression.
        voting_iou: tIoU from which a candidate votes for a kept segment; None for no voting.
        max_per_video: Detections kept; None for all.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        score_thr: float = 0.001,
        pre_nms_topk: int | None = 5000,
        min_length: float = 0.0,
        nms: dict | None = dict(type='soft_nms'),  # noqa: B006
        voting_iou: float | None = None,
        max_per_video: int | None = 200,
    ) -> None:
        for name, value in (('pre_nms_topk', pre_nms_topk), ('max_per_video', max_per_video)):
            if value is not None and value < 1:
                raise ValueError(f'{name} must be >= 1 or None, got {value}')
        if voting_iou is not None and not 0 < voting_iou <= 1:
            raise ValueError(f'voting_iou must be in (0, 1] or None, got {voting_iou}')
        if min_length < 0:
            raise ValueError(f'min_length must be >= 0 seconds, got {min_length}')
        self.score_thr = score_thr
        self.pre_nms_topk = pre_nms_topk
        self.min_length = min_length
        self.nms = _check_nms(nms)
        self.voting_iou = voting_iou
        self.max_per_video = max_per_video

    def __call__(
        self, segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, duration: float
    ) -> Detections:
        """Process all candidates of one video.

        Args:
            segments: ``(N, 2)`` seconds from the start of the video, of all windows together.
            scores: ``(N,)``.
            labels: ``(N,)`` int.
            duration: Length of the video in seconds.

        Returns:
            Detections by falling score, inside ``[0, duration]``.

        Raises:
            ValueError: If the arrays differ in length or are not finite.
        """
        candidates = self._select(
            np.asarray(segments, dtype=np.float64).reshape(-1, 2),
            np.asarray(scores, dtype=np.float64).reshape(-1),
            np.asarray(labels, dtype=np.int64).reshape(-1),
        )
        kept = self._suppress(candidates)
        if self.voting_iou is not None:
            per_class = self.nms is None or self.nms['class_aware']
            refined = segment_voting(
                kept.segments,
                candidates.segments,
                candidates.scores,
                self.voting_iou,
                kept.labels if per_class else None,
                candidates.labels if per_class else None,
            )
            kept = kept._replace(segments=refined)
        inside = np.clip(kept.segments, 0.0, duration)
        valid = inside[:, 1] > inside[:, 0]
        return Detections(inside[valid], kept.scores[valid], kept.labels[valid])

    def merge(self, windows: Sequence[Detections], duration: float) -> Detections:
        """Process the candidates of several windows of one video together.

        Args:
            windows: Candidates of each window, in seconds of the whole video.
            duration: Length of the video in seconds.
        """
        if not windows:
            windows = [Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))]
        return self(*(np.concatenate(column) for column in zip(*windows)), duration)

    def _select(self, segments: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> Detections:
        if not len(segments) == len(scores) == len(labels):
            raise ValueError(
                'segments, scores and labels must have one row per candidate, got '
                f'{len(segments)}, {len(scores)} and {len(labels)}'
            )
        long_enough = segments[:, 1] - segments[:, 0] >= self.min_length
        rows = np.flatnonzero((scores > self.score_thr) & long_enough)
        rows = rows[np.argsort(-scores[rows], kind='stable')[: self.pre_nms_topk]]
        return Detections(segments[rows], scores[rows], labels[rows])

    def _suppress(self, candidates: Detections) -> Detections:
        segments, scores, labels = candidates
        if self.nms is None:
            rows = np.arange(len(scores))[: self.max_per_video]
            return Detections(segments[rows], scores[rows], labels[rows])
        options = {k: v for k, v in self.nms.items() if k not in ('type', 'class_aware')}
        options['labels'] = labels if self.nms['class_aware'] else None
        options['max_out'] = self.max_per_video
        if self.nms['type'] == 'nms':
            rows = nms_1d(segments, scores, **options)
            return Detections(segments[rows], scores[rows], labels[rows])
        rows, decayed = soft_nms_1d(segments, scores, **options)
        return Detections(segments[rows], decayed, labels[rows])
