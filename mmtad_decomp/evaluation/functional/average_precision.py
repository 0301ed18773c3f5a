"""Interpolated average precision and recall of temporal detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .grouping import group_rows, inverse, order_by_score, stable_argsort
from .matching import find_overlaps, iterate_matches
from .tables import GroundTruth, Predictions, check_problem


def average_precision(
    ground_truth: GroundTruth, predictions: Predictions, tious: object, num_classes: int
) -> np.ndarray:
    """Average precision per threshold and class.

    Predictions and ground truth are matched as :func:`~.matching.match_predictions` says. AP is
    the area under the precision envelope: at each true positive, the highest precision from there
    on (Pascal VOC 2011, as ActivityNet's evaluator has it).

    Args:
        ground_truth: The annotations.
        predictions: The detections, in any order.
        tious: ``(T,)`` thresholds in (0, 1].
        num_classes: Number of classes.

    Returns:
        ``(T, num_classes)`` float64 in [0, 1]; NaN for a class without ground truth, which the
        mean leaves out.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    ground_truth, predictions, thresholds = check_problem(
        ground_truth, predictions, tious, num_classes
    )
    order = order_by_score(predictions.scores)
    # (P,) place of each prediction, by rank, in the order of classes and falling scores.
    place = inverse(stable_argsort(predictions.labels[order], num_classes))
    matches = iterate_matches(ground_truth, predictions, order, thresholds, num_classes)
    # (M,) places of the true positives of all thresholds, ascending within each.
    hits = [np.sort(place[found_by]) for found_by, _ in matches]
    rows = np.repeat(np.arange(len(hits)), [len(found) for found in hits])
    hits = np.concatenate(hits)
    sizes = np.bincount(predictions.labels, minlength=num_classes)
    ends = np.cumsum(sizes)
    labels = np.searchsorted(ends, hits, side='right')
    # (M,) group of each true positive: a pair of threshold and class.
    groups = rows * num_classes + labels
    owned = np.bincount(groups, minlength=len(thresholds) * num_classes)
    # Precision: true positives of the group so far, over the predictions of the class so far.
    number = np.arange(len(groups)) - (np.cumsum(owned) - owned)[groups] + 1
    precision = number / (hits - (ends - sizes)[labels] + 1)
    total = envelope_sums(groups, precision, len(owned))
    positives = np.bincount(ground_truth.labels, minlength=num_classes)
    result = np.full((len(thresholds), num_classes), np.nan)
    return np.divide(total.reshape(result.shape), positives, out=result, where=positives > 0)


def envelope_sums(
    groups: np.ndarray,
    precision: np.ndarray,
    num_groups: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Sum of the precision envelope over the true positives of each group.

    Precision only falls between one true positive and the next, so its envelope at a true
    positive is the maximum over the later true positives, and false positives need no place in
    the arrays. That maximum is taken within all groups at once, over 2, 4, 8, ... neighbours.

    Args:
        groups: ``(M,)`` ascending group of each true positive.
        precision: ``(M,)`` precision at each true positive, by falling score in each group.
        num_groups: Number of groups.
        weights: ``(M,)`` how often each of them counts; None counts all once.
    """
    largest = np.bincount(groups, minlength=num_groups).max(initial=0)
    # After the round of `step`, a place holds the maximum of itself and 2 step - 1 later ones.
    envelope = precision.copy()
    step = 1
    while step < largest:
        same = groups[step:] == groups[:-step]
        later = np.where(same, envelope[step:], 0)
        envelope[:-step] = np.maximum(envelope[:-step], later)
        step *= 2
    if weights is not None:
        envelope *= weights
    return np.bincount(groups, weights=envelope, minlength=num_groups)


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN entries (classes without ground truth).

    NaN where no class has ground truth: a mean of nothing is no number.
    """
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _rank_in_group(groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Position of each row among the rows of its group, in the order of the rows."""
    order = stable_argsort(groups, num_groups)
    sizes = np.bincount(groups, minlength=num_groups)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - (np.cumsum(sizes) - sizes)[groups[order]]
    return ranks


def recall_at_kx(
    ground_truth: GroundTruth,
    predictions: Predictions,
    tious: object,
    num_classes: int,
    ks: Sequence[int] = (1, 5),
) -> np.ndarray:
    """Recall with ``k`` times as many predictions as there are instances.

    For each video and class with ``n`` instances, the ``k * n`` predictions of highest score
    count; an instance is found if one of them reaches the threshold. One prediction may find
    several instances.

    Args:
        ground_truth: The annotations.
        predictions: The detections, in any order.
        tious: ``(T,)`` thresholds in (0, 1].
        num_classes: Number of classes.
        ks: Multiples.

    Returns:
        ``(len(ks), T, num_classes)`` recall; NaN for a class without ground truth.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    ground_truth, predictions, thresholds = check_problem(
        ground_truth, predictions, tious, num_classes
    )
    order = order_by_score(predictions.scores)
    groups = group_rows(ground_truth, predictions, num_classes)
    pairs = find_overlaps(ground_truth, predictions, order, groups, thresholds.min())
    # Rank of each pair's prediction within its video and class, and the n of that group: (P,).
    group = groups.of_prediction[order]
    ranks = _rank_in_group(group + 1, len(groups.counts) + 1)[pairs.predictions]
    instances = groups.counts[group[pairs.predictions]]
    positives = np.bincount(ground_truth.labels, minlength=num_classes)
    result = np.full((len(ks), len(thresholds), num_classes), np.nan)
    for found, k in zip(result, ks):
        allowed = ranks < k * instances
        best = np.zeros(len(ground_truth.labels))
        np.maximum.at(best, pairs.ground_truths[allowed], pairs.tious[allowed])
        for row, threshold in zip(found, thresholds):
            hits = np.bincount(ground_truth.labels[best >= threshold], minlength=num_classes)
            np.divide(hits, positives, out=row, where=positives > 0)
    return result
