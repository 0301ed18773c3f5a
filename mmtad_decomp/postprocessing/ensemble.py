"""Ensembles: the detections of several models as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from mmtad_decomp.structures import pairwise_tiou

from .detections import Detections, by_score, concatenate, take
from .post_processor import PostProcessor
from .raw_predictions import RawPredictionError, VideoCandidates

METHODS = ('pool', 'weighted')


class CandidateFile(Protocol):
    """A file of candidates, such as :class:`~mmtad_decomp.postprocessing.RawPredictions`."""

    classes: tuple[str, ...]
    video_ids: tuple[str, ...]
    has_labels: bool

    @property
    def path(self) -> object:
        """Where it is, for messages."""

    def __contains__(self, video_id: str) -> bool: ...

    def read(self, video_id: str) -> VideoCandidates:
        """Read the candidates of one video."""


def common_videos(files: Sequence[CandidateFile], partial: bool = False) -> list[str]:
    """The videos of an ensemble's files, in the order of the first.

    Args:
        files: Files of the same classes.
        partial: Let some videos be missing from some files.

    Raises:
        RawPredictionError: If the files differ in classes, or in videos without ``partial``.
    """
    first = files[0]
    videos = dict.fromkeys(video_id for file in files for video_id in file.video_ids)
    for file in files:
        if file.classes != first.classes:
            raise RawPredictionError(
                f'{first.path} and {file.path} have different classes ({list(first.classes)[:5]} '
                f'and {list(file.classes)[:5]}, ...); test both models with the same `classes`'
            )
        lacking = [video_id for video_id in videos if video_id not in file]
        if lacking and not partial:
            raise RawPredictionError(
                f'{file.path} lacks {len(lacking)} of {len(videos)} videos ({lacking[0]}, ...); '
                'test it on the same subset, or allow partial files'
            )
    return list(videos)


def ensemble_files(
    files: Sequence[CandidateFile],
    post_processor: PostProcessor,
    weights: Sequence[float] | None = None,
    method: str = 'pool',
    iou_thr: float = 0.55,
    partial: bool = False,
) -> Iterator[tuple[str, Detections]]:
    """Combine files of candidates, one video at a time.

    ``'pool'`` puts the candidates of all models together, their scores times their model's
    weight, and post-processes them as one; with a single file that is what the test itself did.
    ``'weighted'`` post-processes every model by itself and combines the results by
    :func:`weighted_segment_ensemble`.

    Args:
        files: One file per model.
        post_processor: Post-processor; it is prepared here.
        weights: Weight of each model, > 0; only their ratios count. None weighs all the same.
        method: ``'pool'`` or ``'weighted'``.
        iou_thr: For ``'weighted'``.
        partial: Let some videos be missing from some files.

    Yields:
        Video id and detections.

    Raises:
        RawPredictionError: If files do not fit together, or a file has no labels and nothing else
            says the class of its candidates.
        ValueError: If method or weights are out of range.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {METHODS}, got {method!r}')
    shares = check_weights(weights, len(files))
    videos = common_videos(files, partial)
    if post_processor.reads_labels and len(files[0].classes) > 1:
        _demand_labels(files)
    post_processor.prepare(files[0].classes, videos)
    for video_id in videos:
        found = [file.read(video_id) if video_id in file else None for file in files]
        duration = _duration(files, found, video_id)
        if method == 'weighted':
            models = [
                concatenate([])
                if video is None
                else post_processor.merge(video.windows, duration, video_id, video.spans)
                for video in found
            ]
            limit = post_processor.max_per_video
            yield video_id, weighted_segment_ensemble(models, shares, iou_thr, limit)
            continue
        pool = [
            window._replace(scores=window.scores * share)
            for video, share in zip(found, shares)
            if video is not None
            for window in post_processor.clean_windows(video.windows, video.spans, video_id)
        ]
        yield video_id, post_processor(*concatenate(pool), duration, video_id)


def _demand_labels(files: Sequence[CandidateFile]) -> None:
    for file in files:
        if not file.has_labels:
            raise RawPredictionError(
                f'{file.path} has no labels, but there are {len(file.classes)} classes; name the '
                'classes by an external classifier in mode "assign" (`--post-processor '
                'classifier.type=ExternalClassifier classifier.path=FILE`, or `classifier` of the '
                'PostProcessor), or give each item a "label"'
            )


def _duration(
    files: Sequence[CandidateFile], found: Sequence[VideoCandidates | None], video_id: str
) -> float:
    durations = {video.duration: file for file, video in zip(files, found) if video is not None}
    low, high = min(durations), max(durations)
    if high - low > 0.01:
        raise RawPredictionError(
            f'video "{video_id}" lasts {low:g} s in {durations[low].path}, but {high:g} s in '
            f'{durations[high].path}; test the models with the same annotations'
        )
    return next(iter(durations))


def check_weights(weights: Sequence[float] | None, count: int) -> np.ndarray:
    """``(count,)`` weights with the largest 1; None weighs all the same.

    Raises:
        ValueError: If there are not ``count`` weights, or one is not finite and > 0.
    """
    values = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all() or not (values > 0).all():
        raise ValueError(f'weights must be {count} numbers > 0, one per model, got {weights}')
    return values / values.max()


def weighted_segment_ensemble(
    models: Sequence[Detections],
    weights: Sequence[float] | None = None,
    iou_thr: float = 0.55,
    max_out: int | None = None,
) -> Detections:
    """Weighted boxes fusion (Solovyev et al., arXiv 1910.13302) of 1-D segments.

    For detections that each model has already suppressed. By falling weighted score, a detection
    joins the cluster of its label whose mean segment it overlaps most, with a tIoU > ``iou_thr``,
    or founds a new one. A cluster's segment is the mean of its members' by weighted score; its
    score is the mean weighted score times ``min(T, N) / sum(weights)`` for T members and N
    models, so that what few models found loses score.

    Args:
        models: Detections of each model.
        weights: Weight of each model, > 0; only their ratios count. None weighs all the same.
        iou_thr: Smallest tIoU (exclusive) of a detection with its cluster, in (0, 1).
        max_out: Detections kept; None for all.

    Returns:
        Detections by falling score.

    Raises:
        ValueError: If ``iou_thr`` or the weights are out of range.
    """
    if not 0 < iou_thr < 1:
        raise ValueError(f'iou_thr must be in (0, 1), got {iou_thr}')
    shares = check_weights(weights, len(models))
    pool = by_score(concatenate([m._replace(scores=m.scores * w) for m, w in zip(models, shares)]))
    pool = take(pool, pool.scores > 0)
    clusters = concatenate(
        [
            _cluster_label(take(pool, pool.labels == label), iou_thr, len(models), shares.sum())
            for label in np.unique(pool.labels)
        ]
    )
    return take(by_score(clusters), slice(max_out))


def _cluster_label(
    pool: Detections, iou_thr: float, num_models: int, total_weight: float
) -> Detections:
    """Cluster the detections of one label, which come by falling score."""
    segments, scores, labels = pool
    weighted, mass = np.zeros((len(scores), 2)), np.zeros(len(scores))
    means, members = np.zeros((len(scores), 2)), np.zeros(len(scores), dtype=np.int64)
    count = 0
    for segment, score in zip(segments, scores):
        at = count
        if count:
            tiou = pairwise_tiou(segment[None], means[:count])[0]
            if tiou.max() > iou_thr:
                at = int(np.argmax(tiou))
        count += at == count
        weighted[at] += score * segment
        mass[at] += score
        members[at] += 1
        means[at] = weighted[at] / mass[at]
    weighted, mass, members = weighted[:count], mass[:count], members[:count]
    final = mass / members * np.minimum(members, num_models) / total_weight
    return Detections(means[:count], final, labels[:count])
