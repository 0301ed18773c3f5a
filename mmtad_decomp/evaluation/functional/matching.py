"""Which prediction takes which ground truth, for all classes and videos at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .grouping import Groups, group_rows, inverse, near_pairs, order_by_score
from .tables import GroundTruth, Predictions, check_problem


class Overlaps(NamedTuple):
    """Pairs of one video and class whose tIoU reaches a threshold.

    Sorted by prediction, then by falling tIoU; of equal tIoUs the later ground truth comes first.

    Attributes:
        predictions: ``(E,)`` rank of the prediction by score, from 0.
        ground_truths: ``(E,)`` row in the ground truth table.
        tious: ``(E,)`` float64.
    """

    predictions: np.ndarray
    ground_truths: np.ndarray
    tious: np.ndarray


def find_overlaps(
    ground_truth: GroundTruth,
    predictions: Predictions,
    order: np.ndarray,
    groups: Groups,
    min_tiou: float,
) -> Overlaps:
    """All pairs of one video and class with tIoU >= ``min_tiou``.

    Args:
        ground_truth: Checked table.
        predictions: Checked table.
        order: ``(P,)`` what :func:`order_by_score` returns for it.
        groups: Result of :func:`group_rows` for the tables.
        min_tiou: Smallest tIoU of interest, > 0.
    """
    comparable = np.flatnonzero(groups.of_prediction >= 0)
    empty = np.zeros(0, dtype=np.int64)
    parts = [(empty, empty, np.zeros(0))]
    parts += near_pairs(
        ground_truth.segments,
        groups.of_instance,
        predictions.segments.take(comparable, axis=0),
        groups.of_prediction[comparable],
        min_tiou,
    )
    gt, pred, tiou = (np.concatenate(column) for column in zip(*parts))
    rank = inverse(order)[comparable[pred]]
    return _by_preference(Overlaps(rank, gt, tiou), len(ground_truth.labels))


def _by_preference(pairs: Overlaps, num_gt: int) -> Overlaps:
    """Sort by prediction, then by falling tIoU and ground truth.

    One sort of whole numbers brings everything but the tIoUs into order, and few predictions have
    more than one pair.
    """
    order = np.argsort(pairs.predictions * num_gt + (num_gt - 1 - pairs.ground_truths))
    pairs = Overlaps(*(column[order] for column in pairs))
    several = np.zeros(len(order), dtype=bool)
    several[1:] = pairs.predictions[1:] == pairs.predictions[:-1]
    several[:-1] |= several[1:]
    places = np.flatnonzero(several)
    order = places[np.lexsort((-pairs.tious[places], pairs.predictions[places]))]
    for column in pairs:
        column[places] = column[order]
    return pairs


def _assign(pred: np.ndarray, gt: np.ndarray, num_gt: int) -> tuple[np.ndarray, np.ndarray]:
    """Give every prediction, in order, the first of its ground truths that is still free.

    Serving predictions in the order of their rows is the stable matching in which every ground
    truth prefers the earlier row, so deferred acceptance (Gale and Shapley, 1962) finds it in a
    few rounds that each treat all predictions at once.

    Args:
        pred: ``(E,)`` ascending rows; the pairs of one row are in order of preference.
        gt: ``(E,)`` rows of the ground truth.
        num_gt: Number of ground truths.

    Returns:
        Rows of the predictions that take a ground truth, and the rows of what they take.
    """
    new = np.ones(len(pred), dtype=bool)
    new[1:] = pred[1:] != pred[:-1]
    choice = np.flatnonzero(new)
    rows, end = pred[choice], np.append(choice[1:], len(pred))
    free = len(rows)
    active = np.arange(free)
    holder = np.full(num_gt, free, dtype=np.int64)
    while len(active):
        wanted = gt[choice[active]]
        before = holder[wanted]
        np.minimum.at(holder, wanted, active)
        now = holder[wanted]
        displaced = np.unique(before[(before != now) & (before < free)])
        rejected = np.concatenate([active[now != active], displaced])
        choice[rejected] += 1
        active = rejected[choice[rejected] < end[rejected]]
    held = np.flatnonzero(holder < free)
    return rows[holder[held]], held


def iterate_matches(
    ground_truth: GroundTruth,
    predictions: Predictions,
    order: np.ndarray,
    thresholds: np.ndarray,
    num_classes: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each threshold the ranks of the predictions that find something, and what they find.

    Args:
        ground_truth: Checked table.
        predictions: Checked table.
        order: ``(P,)`` what :func:`order_by_score` returns for it.
        thresholds: ``(T,)`` checked thresholds.
        num_classes: Number of classes.

    Yields:
        ``(M,)`` ranks by score, and ``(M,)`` ascending rows of the ground truth.
    """
    groups = group_rows(ground_truth, predictions, num_classes)
    pairs = find_overlaps(ground_truth, predictions, order, groups, thresholds.min())
    for threshold in thresholds:
        keep = np.flatnonzero(pairs.tious >= threshold)
        yield _assign(pairs.predictions[keep], pairs.ground_truths[keep], len(ground_truth.labels))


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
    ground_truth, predictions, thresholds = check_problem(
        ground_truth, predictions, tious, num_classes
    )
    order = order_by_score(predictions.scores)
    taken = np.full((len(thresholds), len(predictions.scores)), -1, dtype=np.int64)
    matches = iterate_matches(ground_truth, predictions, order, thresholds, num_classes)
    for row, (found_by, found) in zip(taken, matches):
        row[found_by] = found
    return Predictions(*(column[order] for column in predictions)), taken
