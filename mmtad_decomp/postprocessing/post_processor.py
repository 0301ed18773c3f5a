"""From the raw candidates of a video's windows to its detections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from mmaction.registry import TASK_UTILS

from mmtad_decomp.ops import nms_1d, segment_voting, soft_nms_1d

from .detections import Detections, by_score, concatenate, take
from .external_classifier import ExternalClassifier
from .window_joining import join_cut_segments, suppress_in_overlaps

_NMS_OPTIONS = {
    'soft_nms': {'method', 'sigma', 'iou_thr', 'min_score', 'class_aware'},
    'nms': {'iou_thr', 'class_aware'},
}


def _check_nms(nms: dict | None) -> dict | None:
    if nms is None or nms.get('type') is None:
        return None
    options = {key: value for key, value in nms.items() if key != 'type'}
    kind = nms['type']
    if kind not in _NMS_OPTIONS:
        raise ValueError(f'nms.type must be one of {sorted(_NMS_OPTIONS)} or None, got {kind!r}')
    unknown = set(options) - _NMS_OPTIONS[kind]
    if unknown:
        known = f'{kind} knows {sorted(_NMS_OPTIONS[kind])}'
        if unknown <= set().union(*_NMS_OPTIONS.values()):
            known += '; to drop those of the type before, set nms._delete_=True as well'
        raise ValueError(f'nms has unknown options {sorted(unknown)}; {known}')
    if kind == 'nms' and 'iou_thr' not in options:
        raise ValueError("nms of type 'nms' needs iou_thr")
    return dict(type=kind, class_aware=options.pop('class_aware', True), **options)


def _check_bounds(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f'{name} must be >= 1 or None, got {value}')


@TASK_UTILS.register_module()
class PostProcessor:
    """Suppress, refine, classify and bound the candidates of one video.

    The steps, in order: join what the borders of windows cut; suppress each window on its own, or
    where windows overlap; pool the windows; drop scores <= ``score_thr`` and
    segments shorter than ``min_length``; keep the ``pre_nms_topk`` best; suppress; vote; bring in
    the external classifier; keep the ``max_per_video`` best; clip to the video and drop what
    clipping made empty or shorter than ``min_length``. As in ActionFormer, clipping comes last,
    so a candidate that runs past the video counts with its whole length until then. The order in
    which candidates come in changes nothing, and no score is rounded.

    Args:
        score_thr: The head's score must be higher.
        pre_nms_topk: Candidates of the whole video that enter suppression; None for all.
        min_length: Shortest candidate in seconds.
        nms: ``dict(type='soft_nms', method='gaussian', sigma=0.5, iou_thr=0.3, min_score=0.001,
            class_aware=True)``, ``dict(type='nms', iou_thr=0.5, class_aware=True)``, or None for
            no suppression.
        voting_iou: tIoU from which a candidate votes for a kept segment (of its class, unless
            suppression is class-agnostic); None for no voting.
        max_per_video: Detections kept; None for all.
        classifier: Config of an :class:`~mmtad_decomp.postprocessing.ExternalClassifier`, or an
            object like it; None for none.
        classify: ``'after_nms'`` labels or rescores what suppression and voting left, as
            ActionFormer and G-TAD do; ``'before_nms'`` does so with all candidates that enter it.
        max_proposals: With a classifier after NMS: segments kept by suppression, before the
            classifier multiplies them by its classes; None for all.
        join_tolerance: Candidates that come nearer than this, in seconds, to an inner border of
            their window count as cut by it and are treated by
            :func:`~mmtad_decomp.postprocessing.join_cut_segments`; None leaves windows to NMS.
        nms_per_window: Also suppress the candidates of each window before they are pooled, with
            the same ``nms`` and bounds, as G-TAD's release for THUMOS'14 does.
        overlap_iou: Hard NMS with this tIoU where windows overlap and nowhere else, as TadTR's
            release does with 0.4 (its cross-window fusion), see
            :func:`~mmtad_decomp.postprocessing.suppress_in_overlaps`; None for none.

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
        classifier: dict | ExternalClassifier | None = None,
        classify: str = 'after_nms',
        max_proposals: int | None = None,
        join_tolerance: float | None = None,
        nms_per_window: bool = False,
        overlap_iou: float | None = None,
    ) -> None:
        _check_bounds(
            pre_nms_topk=pre_nms_topk, max_per_video=max_per_video, max_proposals=max_proposals
        )
        if voting_iou is not None and not 0 < voting_iou <= 1:
            raise ValueError(f'voting_iou must be in (0, 1] or None, got {voting_iou}')
        if not min_length >= 0:
            raise ValueError(f'min_length must be >= 0 seconds, got {min_length}')
        if join_tolerance is not None and not join_tolerance >= 0:
            raise ValueError(f'join_tolerance must be >= 0 seconds or None, got {join_tolerance}')
        if overlap_iou is not None and not 0 < overlap_iou <= 1:
            raise ValueError(f'overlap_iou must be in (0, 1] or None, got {overlap_iou}')
        if nms_per_window and _check_nms(nms) is None:
            raise ValueError('nms_per_window needs `nms`; set it, or leave nms_per_window out')
        if classify not in ('after_nms', 'before_nms'):
            raise ValueError(f"classify must be 'after_nms' or 'before_nms', got {classify!r}")
        if max_proposals is not None and (classifier is None or classify == 'before_nms'):
            raise ValueError(
                'max_proposals bounds what a classifier after NMS is given; without one, set '
                'max_per_video'
            )
        self.score_thr = score_thr
        self.pre_nms_topk = pre_nms_topk
        self.min_length = min_length
        self.nms = _check_nms(nms)
        self.voting_iou = voting_iou
        self.max_per_video = max_per_video
        self.classifier: ExternalClassifier | None = (
            TASK_UTILS.build(classifier) if isinstance(classifier, dict) else classifier
        )
        self.classify = classify
        self.max_proposals = max_proposals
        self.join_tolerance = join_tolerance
        self.nms_per_window = nms_per_window
        self.overlap_iou = overlap_iou
        self.num_classes: int | None = None

    def prepare(self, classes: Sequence[str], video_ids: Iterable[str]) -> None:
        """Check, before anything is tested, that the videos to come can be processed.

        Args:
            classes: Class names in label order.
            video_ids: The videos to come.

        Raises:
            ClassifierScoresError: If the external classifier lacks a video or a class.
        """
        self.num_classes = len(classes)
        if self.classifier is not None:
            self.classifier.bind(classes, video_ids)

    def __call__(
        self,
        segments: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        duration: float,
        video_id: str | None = None,
        on_full: Callable[[float], None] | None = None,
    ) -> Detections:
        """Process all candidates of one video.

        Args:
            segments: ``(N, 2)`` seconds from the start of the video, of all windows together.
            scores: ``(N,)``.
            labels: ``(N,)`` int.
            duration: Length of the video in seconds.
            video_id: The video's id, for the external classifier and for messages.
            on_full: Called if ``max_per_video`` detections are kept, with the lowest of their
                scores: more of them, none of which scores higher, may have been cut.

        Returns:
            Detections by falling score, inside ``[0, duration]``.

        Raises:
            ValueError: If the arrays differ in length or are not finite, or a label is out of
                range.
        """
        candidates = self._select(self._checked(segments, scores, labels, duration, video_id))
        if self.classifier is not None and self.classify == 'before_nms':
            candidates = by_score(self.classifier(candidates, video_id))
        kept = self._vote(self._suppress(candidates), candidates)
        if self.classifier is not None and self.classify == 'after_nms':
            kept = by_score(self.classifier(kept, video_id))
            kept = take(kept, slice(self.max_per_video))
        if on_full is not None and len(kept.scores) == self.max_per_video:
            on_full(float(kept.scores.min()))
        return self._clip(kept, duration)

    def merge(
        self,
        windows: Sequence[Detections],
        duration: float,
        video_id: str | None = None,
        spans: np.ndarray | None = None,
        on_full: Callable[[float], None] | None = None,
    ) -> Detections:
        """Process the candidates of several windows of one video together.

        Args:
            windows: Candidates of each window, in seconds of the whole video.
            duration: Length of the video in seconds.
            video_id: See :meth:`__call__`.
            spans: ``(W, 2)`` start and end of each window in seconds; needed where windows are
                joined or compared.
            on_full: See :meth:`__call__`.
        """
        pool = concatenate(self.clean_windows(windows, spans, video_id))
        return self(*pool, duration, video_id, on_full)

    def clean_windows(
        self,
        windows: Sequence[Detections],
        spans: np.ndarray | None,
        video_id: str | None = None,
    ) -> Sequence[Detections]:
        """The windows of a video, ready to be pooled.

        Cut candidates are joined (``join_tolerance``), each window is suppressed
        (``nms_per_window``), and candidates in overlaps are (``overlap_iou``).

        Raises:
            ValueError: If windows are to be joined or compared, and their spans are not known.
        """
        windows = self._join(windows, spans, video_id)
        if self.nms_per_window:
            windows = [
                self._suppress(self._select(self._checked(*window, 0.0, video_id)))
                for window in windows
            ]
        if self.overlap_iou is not None and len(windows) > 1:
            self._demand_spans('overlap_iou', spans, video_id)
            windows = suppress_in_overlaps(windows, spans, self.overlap_iou)
        return windows

    def _join(
        self, windows: Sequence[Detections], spans: np.ndarray | None, video_id: str | None
    ) -> Sequence[Detections]:
        if self.join_tolerance is None or len(windows) < 2:
            return windows
        self._demand_spans('join_tolerance', spans, video_id)
        return join_cut_segments(windows, spans, self.join_tolerance)

    @staticmethod
    def _demand_spans(option: str, spans: np.ndarray | None, video_id: str | None) -> None:
        if spans is None or np.isnan(spans).any():
            raise ValueError(
                f'{_named(video_id)}: {option} needs the span of every window in seconds; '
                f'give the data samples a time_grid, or set {option}=None'
            )

    def _checked(
        self,
        segments: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        duration: float,
        video_id: str | None,
    ) -> Detections:
        columns = Detections(
            np.asarray(segments, dtype=np.float64).reshape(-1, 2),
            np.asarray(scores, dtype=np.float64).reshape(-1),
            np.asarray(labels, dtype=np.int64).reshape(-1),
        )
        lengths = [len(column) for column in columns]
        if len(set(lengths)) > 1:
            raise ValueError(
                f'{_named(video_id)}: segments, scores and labels must have one row per '
                'candidate, got {}, {} and {}'.format(*lengths)
            )
        wrong = ~(np.isfinite(columns.segments).all(axis=1) & np.isfinite(columns.scores))
        if wrong.any() or not np.isfinite(duration):
            raise ValueError(
                f'{_named(video_id)}: segments, scores and duration must be finite, but '
                f'{wrong.sum()} of {len(wrong)} candidates have NaN or infinity (duration '
                f'{duration}); the model diverged or its input is broken'
            )
        if self.num_classes is not None and self.reads_labels and lengths[2]:
            low, high = columns.labels.min(), columns.labels.max()
            if low < 0 or high >= self.num_classes:
                raise ValueError(
                    f'{_named(video_id)}: labels must be in [0, {self.num_classes}), got '
                    f'{low}..{high}; give the head and the metric the same classes'
                )
        return columns

    @property
    def reads_labels(self) -> bool:
        """Whether the labels of the candidates count; a classifier that assigns replaces them."""
        return self.classifier is None or self.classifier.mode == 'rescore'

    def _select(self, candidates: Detections) -> Detections:
        segments, scores, labels = candidates
        if not self.reads_labels:
            candidates = Detections(segments, scores, np.zeros_like(labels))
        long_enough = segments[:, 1] - segments[:, 0] >= self.min_length
        candidates = by_score(take(candidates, (scores > self.score_thr) & long_enough))
        return take(candidates, slice(self.pre_nms_topk))

    def _suppress(self, candidates: Detections) -> Detections:
        classified_later = self.classifier is not None and self.classify == 'after_nms'
        limit = self.max_proposals if classified_later else self.max_per_video
        segments, scores, labels = candidates
        if self.nms is None:
            return take(candidates, slice(limit))
        options = {k: v for k, v in self.nms.items() if k not in ('type', 'class_aware')}
        options['labels'] = labels if self.nms['class_aware'] else None
        options['max_out'] = limit
        if self.nms['type'] == 'nms':
            return take(candidates, nms_1d(segments, scores, **options))
        rows, decayed = soft_nms_1d(segments, scores, **options)
        return Detections(segments[rows], decayed, labels[rows])

    def _vote(self, kept: Detections, candidates: Detections) -> Detections:
        if self.voting_iou is None:
            return kept
        per_class = self.nms is None or self.nms['class_aware']
        refined = segment_voting(
            kept.segments,
            candidates.segments,
            candidates.scores,
            self.voting_iou,
            kept.labels if per_class else None,
            candidates.labels if per_class else None,
        )
        return kept._replace(segments=refined)

    def _clip(self, kept: Detections, duration: float) -> Detections:
        inside = np.clip(kept.segments, 0.0, duration)
        length = inside[:, 1] - inside[:, 0]
        clipped = (inside != kept.segments).any(axis=1)
        valid = (length > 0) & ~(clipped & (length < self.min_length))
        return take(kept._replace(segments=inside), valid)


def _named(video_id: str | None) -> str:
    return 'post-processing' if video_id is None else f'video "{video_id}"'
