"""Which prediction takes which ground truth, for all classes, videos and thresholds at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .tables import GroundTruth, Predictions, check_ground_truth, check_predictions, check_tious

PAIRS_AT_ONCE = 1_000_000
"""Prediction-ground truth pairs whose tIoU is held in memory at one time."""


class Overlaps(NamedTuple):
    """Pairs of one video and class whose tIoU reaches a threshold.

    Sorted by prediction, then by falling tIoU; of equal tIoUs the later ground truth comes first.

    Attributes:
        predictions: ``(E,)`` row of the prediction in the score-sorted table.
        ground_truths: ``(E,)`` row in the ground truth table.
        tious: ``(E,)`` float64.
    """

    predictions: np.ndarray
    ground_truths: np.ndarray
    tious: np.ndarray


def sort_by_score(predictions: Predictions) -> Predictions:
    """Rows in the order of falling score; rows of equal score keep their order."""
    order = np.argsort(-predictions.scores, kind='stable')
    return Predictions(*(column[order] for column in predictions))


def _chunks(pairs: np.ndarray) -> Iterator[slice]:
    """Consecutive rows that together have at most :data:`PAIRS_AT_ONCE` pairs, or one row."""
    ends = np.cumsum(pairs)
    start = 0
    while start < len(pairs):
        done = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side='right'))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def find_overlaps(
    ground_truth: GroundTruth, predictions: Predictions, num_classes: int, min_tiou: float
) -> Overlaps:
    """All pairs of one video and class with tIoU >= ``min_tiou``.

    Args:
        ground_truth: Checked table.
        predictions: Checked table, already sorted by score.
        num_classes: Number of classes.
        min_tiou: Smallest tIoU of interest, > 0.
    """
    gt_keys = ground_truth.videos * num_classes + ground_truth.labels
    gt_order = np.argsort(gt_keys, kind='stable')
    gt_keys, gt_segments = gt_keys[gt_order], ground_truth.segments[gt_order]
    pred_keys = predictions.videos * num_classes + predictions.labels
    first = np.searchsorted(gt_keys, pred_keys, side='left')
    counts = np.searchsorted(gt_keys, pred_keys, side='right') - first
    parts = []
    for rows in _chunks(counts):
        n = counts[rows]
        pred = np.repeat(np.arange(rows.start, rows.stop), n)
        gt = np.arange(n.sum()) + np.repeat(first[rows] - (np.cumsum(n) - n), n)
        a, b = predictions.segments[pred], gt_segments[gt]
        inter = np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0])
        inter = np.maximum(inter, 0)
        union = (b[:, 1] - b[:, 0]) + (a[:, 1] - a[:, 0]) - inter
        tiou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
        keep = tiou >= min_tiou
        parts.append((pred[keep], gt_order[gt[keep]], tiou[keep]))
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Overlaps(empty, empty, np.zeros(0))
    pred, gt, tiou = (np.concatenate(column) for column in zip(*parts))
    order = np.lexsort((-gt, -tiou, pred))
    return Overlaps(pred[order], gt[order], tiou[order])


def _assign(pred: np.ndarray, gt: np.ndarray, num_pred: int, num_gt: int) -> np.ndarray:
    """Give every prediction, in order, the first of its ground truths that is still free.

    Serving predictions in the order of their rows is the stable matching in which every ground
    truth prefers the earlier row, so deferred acceptance (Gale and Shapley, 1962) finds it in a
    few rounds that each treat all predictions at once.

    Args:
        pred: ``(E,)`` ascending rows; the pairs of one row are in order of preference.
        gt: ``(E,)`` rows of the ground truth.
        num_pred: Number of predictions.
        num_gt: Number of ground truths.

    Returns:
        ``(num_pred,)`` row of the ground truth taken, or -1.
    """
    active, choice = np.unique(pred, return_index=True)
    pointer = np.zeros(num_pred, dtype=np.int64)
    end = np.zeros(num_pred, dtype=np.int64)
    pointer[active] = choice
    end[active] = np.append(choice[1:], len(pred))
    holder = np.full(num_gt, num_pred, dtype=np.int64)
    while len(active):
        wanted = gt[pointer[active]]
        before = holder[wanted]
        np.minimum.at(holder, wanted, active)
        now = holder[wanted]
        displaced = np.unique(before[(before != now) & (before < num_pred)])
        rejected = np.concatenate([active[now != active], displaced])
        pointer[rejected] += 1
        active = rejected[pointer[rejected] < end[rejected]]
    taken = np.full(num_pred, -1, dtype=np.int64)
    held = np.flatnonzero(holder < num_pred)
    taken[holder[held]] = held
    return taken


def match_predictions(
    ground_truth: GroundTruth, predictions: Predictions, tious: object, num_classes: int
) -> tuple[Predictions, np.ndarray]:
    """Match as ActivityNet's evaluator does.

    Predictions are served by falling score. Each takes the ground truth of its video and class
    with the highest tIoU among those that are still free and reach the threshold; of equal tIoUs
    the later row of the ground truth table wins.

    Args:
        ground_truth: The annotations.
        predictions: The detections, in any order.
        tious: ``(T,)`` thresholds in (0, 1].
        num_classes: Number of classes.

    Returns:
        The predictions sorted by score, and a ``(T, P)`` int array with the row of the ground
        truth that each of them takes, or -1.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    thresholds = check_tious(tious)
    ground_truth = check_ground_truth(ground_truth, num_classes)
    predictions = sort_by_score(check_predictions(predictions, num_classes))
    pairs = find_overlaps(ground_truth, predictions, num_classes, thresholds.min())
    taken = np.empty((len(thresholds), len(predictions.scores)), dtype=np.int64)
    for row, threshold in zip(taken, thresholds):
        keep = pairs.tious >= threshold
        row[:] = _assign(
            pairs.predictions[keep],
            pairs.ground_truths[keep],
            len(predictions.scores),
            len(ground_truth.labels),
        )
    return predictions, taken
