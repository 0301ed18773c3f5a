"""Class scores of whole videos, brought into a detector's segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from mmaction.registry import TASK_UTILS

from .classifier_scores import ClassifierScores, ClassifierScoresError, load_classifier_scores
from .detections import Detections


@TASK_UTILS.register_module()
class ExternalClassifier:
    """Combine segments with the scores of a video-level classifier.

    ``mode='assign'`` is for class-agnostic segments: every segment is given each of the video's
    ``top_n`` best classes, so N segments become up to ``N * top_n`` detections; the head's labels
    are not read. ``mode='rescore'`` keeps the head's label and looks up that class's score; with
    ``top_n``, detections of other classes are dropped. A combined score of 0 is dropped.

    With segment score s and class score c, the detection's score is s * c (``'multiply'``:
    G-TAD, BSN, BMN), sqrt(s * c) (``'sqrt'``: ActionFormer), or
    s ** (1 - power) * c ** power (``'power'``).

    Args:
        path: The scores; see
            :func:`~mmtad_decomp.postprocessing.classifier_scores.load_classifier_scores` for
            the layouts and for ``columns`` and ``video_ids``.
        columns: Class of each column, where the file does not say it.
        video_ids: Video of each row, where the file does not say it.
        mode: ``'assign'`` or ``'rescore'``.
        top_n: Classes of a video that count; None for all. On equal scores the class that comes
            first in the data set counts.
        combine: ``'multiply'``, ``'sqrt'`` or ``'power'``.
        power: Share of the classifier in ``'power'``, in (0, 1); 0.5 is ``'sqrt'``.
        softmax: The file has logits: take the softmax over all its columns.
        ignore_other_classes: Let the file name classes that the data set does not have.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        path: str,
        columns: Sequence[str] | Mapping[str, int] | str | None = None,
        video_ids: Sequence[str] | str | None = None,
        mode: str = 'assign',
        top_n: int | None = 2,
        combine: str = 'multiply',
        power: float | None = None,
        softmax: bool = False,
        ignore_other_classes: bool = False,
    ) -> None:
        if mode not in ('assign', 'rescore'):
            raise ValueError(f"mode must be 'assign' or 'rescore', got {mode!r}")
        if combine not in ('multiply', 'sqrt', 'power'):
            raise ValueError(f"combine must be 'multiply', 'sqrt' or 'power', got {combine!r}")
        if (combine == 'power') != (power is not None):
            raise ValueError("power belongs to combine='power', which needs it")
        if power is not None and not 0 < power < 1:
            raise ValueError(f'power must be in (0, 1), got {power}')
        if top_n is not None and top_n < 1:
            raise ValueError(f'top_n must be >= 1 or None, got {top_n}')
        self.path = path
        self.columns = columns
        self.video_ids = video_ids
        self.mode = mode
        self.top_n = top_n
        self.combine = combine
        self.power = power
        self.softmax = softmax
        self.ignore_other_classes = ignore_other_classes
        self._scores: dict[str, np.ndarray] | None = None

    def bind(self, classes: Sequence[str], video_ids: Iterable[str]) -> None:
        """Read the file and check that it has all that is going to be asked for.

        Args:
            classes: Class names in label order.
            video_ids: The videos to come.

        Raises:
            ClassifierScoresError: If the file is malformed, lacks a video or a class, names a
                class that is not in ``classes``, or has scores that are no probabilities.
        """
        table = load_classifier_scores(self.path, self.columns, self.video_ids)
        order = self._order(table, classes)
        wanted = list(video_ids)
        rows = [table.row(video_id) for video_id in wanted]
        missing = [video_id for video_id, row in zip(wanted, rows) if row is None]
        if missing:
            raise ClassifierScoresError(
                f'{self.path} has no scores of {len(missing)} of {len(wanted)} videos '
                f'({_few(missing)}); add them, or leave these videos out of the test '
                '(`exclude_videos`)'
            )
        scores = table.scores[np.array(rows, dtype=np.int64)]
        if self.softmax:
            scores = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
            scores /= scores.sum(axis=1, keepdims=True)
        elif scores.size and scores.min() < 0:
            raise ClassifierScoresError(
                f'{self.path} has negative scores (lowest {scores.min():g}); if these are logits, '
                'set `softmax=True`'
            )
        self._scores = dict(zip(wanted, scores[:, order]))

    def __call__(self, detections: Detections, video_id: str | None) -> Detections:
        """Bring in the scores of one video.

        Args:
            detections: Segments with their scores, >= 0.
            video_id: The video.

        Returns:
            Detections with combined scores, in no particular order.

        Raises:
            RuntimeError: If :meth:`bind` was not called with this video.
            ValueError: If a score is negative.
        """
        if self._scores is None or video_id not in self._scores:
            raise RuntimeError(
                f'ExternalClassifier has no scores of video {video_id!r}; call '
                '`PostProcessor.prepare(classes, video_ids)` first and give `video_id`'
            )
        if len(detections.scores) and detections.scores.min() < 0:
            raise ValueError(
                f'video "{video_id}": cannot combine negative scores (lowest '
                f'{detections.scores.min():g}) with those of a classifier; set score_thr >= 0'
            )
        of_class = self._scores[video_id]
        best = np.argsort(-of_class, kind='stable')[: self.top_n]
        if self.mode == 'assign':
            count = len(detections.scores)
            segments = np.tile(detections.segments, (len(best), 1))
            labels = np.repeat(best, count)
            scores = np.tile(detections.scores, len(best))
        else:
            segments, scores, labels = detections
        combined = self._combine(scores, of_class[labels])
        keep = (combined > 0) & np.isin(labels, best)
        return Detections(segments[keep], combined[keep], labels[keep])

    def _combine(self, segment: np.ndarray, of_class: np.ndarray) -> np.ndarray:
        if self.combine == 'multiply':
            return segment * of_class
        if self.combine == 'sqrt':
            return np.sqrt(segment * of_class)
        assert self.power is not None
        return segment ** (1 - self.power) * of_class**self.power

    def _order(self, table: ClassifierScores, classes: Sequence[str]) -> list[int]:
        """Column of each class."""
        lacking = [name for name in classes if name not in table.columns]
        others = [name for name in table.columns if name not in set(classes)]
        if lacking:
            hint = f' (the file has {_few(others)} instead)' if others else ''
            raise ClassifierScoresError(
                f'{self.path} has scores of {len(table.columns)} classes, but lacks '
                f"{len(lacking)} of the data set's {len(classes)}: {_few(lacking)}{hint}"
            )
        if others and not self.ignore_other_classes:
            raise ClassifierScoresError(
                f'{self.path} has {len(others)} classes that the data set does not know: '
                f'{_few(others)}; correct their names, or set `ignore_other_classes=True`'
            )
        return [table.columns[name] for name in classes]


def _few(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
