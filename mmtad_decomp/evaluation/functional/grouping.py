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
        order: ``(G,)`` rows of the ground truth, sorted by group, else in the table's order.
        first: ``(U,)`` position in ``order`` of the group's first instance.
        counts: ``(U,)`` number of instances, > 0.
    """

    of_prediction: np.ndarray
    order: np.ndarray
    first: np.ndarray
    counts: np.ndarray


def order_by_score(scores: np.ndarray) -> np.ndarray:
    """Rows in the order of falling score; rows of equal score keep their order.

    Sorts unstably, which is several times faster, and then mends the rows that share a score.
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
    """Stable order of ids in ``[0, size)``; a radix sort where they fit into 16 bits."""
    small = ids.astype(np.uint16) if size <= 1 << 16 else ids
    return np.argsort(small, kind='stable')


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
    order = np.argsort(keys, kind='stable')
    known, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
    video = positions(videos, predictions.videos)
    wanted = np.where(video < 0, -1, video * num_classes + predictions.labels)
    return Groups(positions(known, wanted), order, first, counts)


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


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``first[i], first[i] + 1, ...`` for ``counts[i]`` numbers, for all ``i`` in a row."""
    shift = first - (np.cumsum(counts) - counts)
    return np.arange(counts.sum()) + np.repeat(shift, counts)


def tiou_of_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tIoU of ``(E, 2)`` segments with ``(E, 2)`` segments, row by row.

    Computed as the reference evaluators do, to the last bit; 0 where the union has no length.
    """
    inter = np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0])
    inter = np.maximum(inter, 0)
    union = (b[:, 1] - b[:, 0]) + (a[:, 1] - a[:, 0]) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
