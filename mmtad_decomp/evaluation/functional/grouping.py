"""Sorting and grouping of table rows in linear time where the numbers allow it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .tables import GroundTruth, Predictions

PAIRS_AT_ONCE = 1 << 18
"""Pairs of a prediction and a ground truth that are held in memory at one time."""


class Groups(NamedTuple):
    """Predictions and instances that may be compared: those of one video and class.

    Attributes:
        of_prediction: ``(P,)`` group of each prediction, -1 if it has no instance in its video
            and class.
        of_instance: ``(G,)`` group of each instance.
        counts: ``(U,)`` number of instances, > 0.
    """

    of_prediction: np.ndarray
    of_instance: np.ndarray
    counts: np.ndarray


def order_by_score(scores: np.ndarray) -> np.ndarray:
    """Rows in the order of falling score; rows of equal score keep their order.

    Sorts unstably, which is several times faster, and then sorts the rows that share a score.
    """
    order = np.argsort(-scores)
    ranked = scores[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = ranked[1:] != ranked[:-1]
    tied = ~new
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        runs, rows = np.cumsum(new)[places], order[places]
        order[places] = rows[np.lexsort((rows, runs))]
    return order


def stable_argsort(ids: np.ndarray, size: int) -> np.ndarray:
    """Stable order of ids in ``[0, size)``: a radix sort where they fit into 16 bits."""
    if size <= 1 << 16:
        return np.argsort(ids.astype(np.uint16), kind='stable')
    if size * len(ids) < 1 << 63:  # distinct numbers need no stable sort, which is slower
        return np.argsort(ids * len(ids) + np.arange(len(ids)))
    return np.argsort(ids, kind='stable')


def inverse(order: np.ndarray) -> np.ndarray:
    """The place of each row in an order of rows."""
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def positions(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of each value in ``known``, -1 if it is not there.

    Args:
        known: ``(U,)`` distinct ascending integers.
        values: ``(N,)`` integers.
    """
    result = np.full(len(values), -1, dtype=np.int64)
    if not len(known):
        return result
    low, high = int(known[0]), int(known[-1])
    inside = np.flatnonzero((values >= low) & (values <= high))
    sought = values[inside]
    if high - low < 4 * (len(known) + len(values)) + 1024:
        table = np.full(high - low + 1, -1, dtype=np.int64)
        table[known - low] = np.arange(len(known))
        result[inside] = table[sought - low]
    else:
        place = np.searchsorted(known, sought)
        result[inside] = np.where(known[place] == sought, place, -1)
    return result


def group_rows(ground_truth: GroundTruth, predictions: Predictions, num_classes: int) -> Groups:
    """Bring predictions and instances of one video and class together.

    Args:
        ground_truth: Checked table.
        predictions: Checked table.
        num_classes: Number of classes.
    """
    videos, instance_video = np.unique(ground_truth.videos, return_inverse=True)
    keys = instance_video.reshape(-1) * num_classes + ground_truth.labels
    known, of_instance, counts = np.unique(keys, return_inverse=True, return_counts=True)
    video = positions(videos, predictions.videos)
    wanted = np.where(video < 0, -1, video * num_classes + predictions.labels)
    return Groups(positions(known, wanted), of_instance.reshape(-1), counts)


def chunks(pairs: np.ndarray) -> Iterator[slice]:
    """Consecutive rows that together have at most :data:`PAIRS_AT_ONCE` pairs, or one row."""
    ends = np.cumsum(pairs)
    start = 0
    while start < len(pairs):
        done = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side='right'))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def _reachable(
    a: np.ndarray, a_groups: np.ndarray, b: np.ndarray, b_groups: np.ndarray, min_tiou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An order of ``b``, and which part of it each segment of ``a`` can reach: begin and length.

    Starts are replaced by their ranks, so that group and start make one whole number.
    """
    by_start = np.argsort(b[:, 0])
    starts, groups = b[by_start, 0].astype(np.float64), b_groups[by_start]
    size = 1 + int(max(a_groups.max(), b_groups.max()))
    by_group = stable_argsort(groups, size)
    keys = groups[by_group] * (len(b) + 1) + by_group
    first = a[:, 0].astype(np.float64)
    length = a[:, 1] - first
    slack = 4 * np.spacing(np.minimum(np.abs(first) + length, 1e300))
    low = np.searchsorted(starts, first - (1 / min_tiou - 1) * length - slack, side='left')
    high = np.searchsorted(starts, first + (1 - min_tiou) * length + slack, side='right')
    begin = np.searchsorted(keys, a_groups * (len(b) + 1) + low)
    end = np.searchsorted(keys, a_groups * (len(b) + 1) + high)
    return by_start[by_group], begin, end - begin


def near_pairs(
    a: np.ndarray, a_groups: np.ndarray, b: np.ndarray, b_groups: np.ndarray, min_tiou: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs of segments of one group with tIoU >= ``min_tiou``, a part at a time.

    A segment that reaches tIoU m with one of length L that starts at s starts itself between
    s - (1 / m - 1) L and s + (1 - m) L. The segments of ``b`` are sorted by group and start, so
    that only those within these bounds, widened for rounding, are compared at all.

    Args:
        a: ``(M, 2)`` float.
        a_groups: ``(M,)`` int >= 0.
        b: ``(N, 2)`` float of the same kind.
        b_groups: ``(N,)`` int >= 0.
        min_tiou: In (0, 1].

    Yields:
        Rows of ``a``, ascending; rows of ``b``; and float64 tIoUs.
    """
    if not len(a) or not len(b):
        return
    order, begin, counts = _reachable(a, a_groups, b, b_groups, 0.99999 * min_tiou)
    b = b.take(order, axis=0)  # several times faster than indexing
    for rows in chunks(counts):
        n = counts[rows]
        shift = begin[rows] - (np.cumsum(n) - n)
        place = np.arange(n.sum()) + np.repeat(shift, n)
        of_a = np.repeat(np.arange(rows.start, rows.stop), n)
        tiou = tiou_of_rows(b.take(place, axis=0), a.take(of_a, axis=0))
        keep = np.flatnonzero(tiou >= min_tiou)
        yield of_a[keep], order[place[keep]], tiou[keep].astype(np.float64, copy=False)


def tiou_of_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tIoU of ``(E, 2)`` segments with ``(E, 2)`` segments, row by row.

    Computed as the reference evaluators do, to the last bit; 0 where the union has no length.
    """
    inter = np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0])
    inter = np.maximum(inter, 0)
    union = (b[:, 1] - b[:, 0]) + (a[:, 1] - a[:, 0]) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
