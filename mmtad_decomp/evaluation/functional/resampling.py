"""Average precision of videos drawn with replacement, without matching anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .average_precision import envelope_sums
from .grouping import order_by_score, stable_argsort
from .matching import match_predictions
from .tables import GroundTruth, Predictions

_CELLS_AT_ONCE = 1 << 22


class Matches(NamedTuple):
    """All that average precision depends on, by video.

    Predictions are matched with ground truth of their own video only, so that a draw of videos
    changes how often a prediction counts, and nothing else.

    Attributes:
        videos: ``(P,)`` int video of each prediction, in ``[0, V)``.
        labels: ``(P,)`` int.
        scores: ``(P,)`` float64.
        hits: ``(T, P)`` bool, whether it is a true positive at each threshold.
        positives: ``(V, C)`` int, instances of each video and class.
    """

    videos: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    positives: np.ndarray


def match_videos(
    ground_truth: GroundTruth,
    predictions: Predictions,
    tious: object,
    num_classes: int,
    num_videos: int,
) -> Matches:
    """Match predictions as :func:`~.matching.match_predictions` does.

    Args:
        ground_truth: The annotations; ``videos`` in ``[0, num_videos)``.
        predictions: The detections, in any order; ``videos`` likewise.
        tious: ``(T,)`` thresholds in (0, 1].
        num_classes: Number of classes C.
        num_videos: Number of videos V, those without instances included.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    ranked, taken = match_predictions(ground_truth, predictions, tious, num_classes)
    positives = np.zeros((num_videos, num_classes), dtype=np.int64)
    np.add.at(positives, (ground_truth.videos, ground_truth.labels), 1)
    return Matches(ranked.videos, ranked.labels, ranked.scores, taken >= 0, positives)


def pool_matches(parts: Sequence[Matches]) -> Matches:
    """Several sets of videos as one, such as the held-out videos of all folds.

    Args:
        parts: One or more, with the same thresholds and classes.
    """
    starts = np.cumsum([0, *(len(part.positives) for part in parts)])
    videos = [part.videos + start for part, start in zip(parts, starts)]
    columns = zip(*(part[1:] for part in parts))
    labels, scores, hits, positives = columns
    return Matches(
        np.concatenate(videos),
        np.concatenate(labels),
        np.concatenate(scores),
        np.concatenate(hits, axis=1),
        np.concatenate(positives),
    )


def resampled_average_precision(matches: Matches, counts: np.ndarray) -> np.ndarray:
    """Average precision per draw, threshold and class.

    A draw gives the same AP as :func:`~.average_precision.average_precision` of tables in which
    every video stands as often as it is drawn, under another number each time; predictions of
    equal score are in the order of ``matches``. Copies of one true positive follow each other, so
    that precision rises from one to the next, and the envelope at all of them is the envelope at
    the last.

    Args:
        matches: Predictions with their matches.
        counts: ``(B, V)`` int, how often each video is drawn; all ones is the whole set.

    Returns:
        ``(B, T, C)`` float64 in [0, 1]; NaN for a class without ground truth in the draw.

    Raises:
        ValueError: If the shape of ``counts`` is not ``(B, V)``.
    """
    num_videos, num_classes = matches.positives.shape
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != num_videos:
        raise ValueError(f'counts must have shape (B, {num_videos}), got {counts.shape}')
    # Predictions by class, and by falling score within it.
    order = order_by_score(matches.scores)
    order = order[stable_argsort(matches.labels[order], num_classes)]
    videos, hits = matches.videos[order], matches.hits[:, order]
    labels = matches.labels[order]
    # Only true positives have a place in the sums: (M,), each with its threshold and class.
    rows, places = np.nonzero(hits)
    groups = rows * num_classes + labels[places]
    size = len(hits) * num_classes
    # Draws in portions, which bound the memory: (step, P) counts of predictions at a time.
    step = max(1, _CELLS_AT_ONCE // max(1, len(order) + len(places)))
    totals = [
        _hit_sums(drawn[:, videos], places, groups, labels, (size, num_classes))
        for drawn in (counts[i : i + step] for i in range(0, len(counts), step))
    ]
    total = np.concatenate(totals) if totals else np.zeros((0, size))
    total = total.reshape(len(counts), len(hits), num_classes)
    positives = (counts @ matches.positives)[:, None, :]
    result = np.full(total.shape, np.nan)
    return np.divide(total, positives, out=result, where=positives > 0)


def _hit_sums(
    weights: np.ndarray,
    places: np.ndarray,
    groups: np.ndarray,
    labels: np.ndarray,
    sizes: tuple[int, int],
) -> np.ndarray:
    """Sums of the precision envelope, ``(B, T * C)``.

    Args:
        weights: ``(B, P)`` how often each prediction counts, by class and falling score.
        places: ``(M,)`` predictions that are true positives, by threshold.
        groups: ``(M,)`` ascending threshold and class of each.
        labels: ``(P,)`` ascending classes.
        sizes: ``T * C`` and ``C``.
    """
    size, num_classes = sizes
    # predictions of the class down to each true positive (B, M)
    seen = _running_sums(weights, labels, num_classes, places)
    # true positives of the threshold and class down to each (B, M)
    weights = weights[:, places]
    found = _running_sums(weights, groups, size, np.arange(len(places)))
    precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
    draws = np.arange(len(weights))[:, None] * size
    total = envelope_sums(
        (draws + groups).reshape(-1), precision.reshape(-1), len(weights) * size, weights.ravel()
    )
    return total.reshape(len(weights), size)


def _running_sums(
    weights: np.ndarray, groups: np.ndarray, num_groups: int, places: np.ndarray
) -> np.ndarray:
    """``(B, M)`` sums of ``weights`` ``(B, P)`` from the first of a place's group to the place.

    Args:
        weights: ``(B, P)`` int.
        groups: ``(P,)`` ascending.
        num_groups: Number of groups.
        places: ``(M,)`` columns.
    """
    sums = np.zeros((len(weights), weights.shape[1] + 1), dtype=np.int64)
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    begins = np.searchsorted(groups, np.arange(num_groups))
    return sums[:, places + 1] - sums[:, begins[groups[places]]]
