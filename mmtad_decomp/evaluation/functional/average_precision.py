"""Interpolated average precision and recall of temporal detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .matching import find_overlaps, match_predictions, sort_by_score
from .tables import GroundTruth, Predictions, check_ground_truth, check_predictions, check_tious


def interpolated_average_precision(true_positive: np.ndarray, num_positives: int) -> np.ndarray:
    """Area under the precision envelope (Pascal VOC 2011, as ActivityNet's evaluator has it).

    Args:
        true_positive: ``(T, P)`` bool, columns in the order of falling score.
        num_positives: Number of ground truths, > 0.

    Returns:
        ``(T,)`` average precision.
    """
    if not true_positive.shape[1]:
        return np.zeros(len(true_positive))
    ranks = np.arange(1, true_positive.shape[1] + 1)
    precision = np.cumsum(true_positive, axis=1) / ranks
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (envelope * true_positive).sum(axis=1) / num_positives


def average_precision(
    ground_truth: GroundTruth, predictions: Predictions, tious: object, num_classes: int
) -> np.ndarray:
    """Average precision per threshold and class.

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
    ordered, taken = match_predictions(ground_truth, predictions, tious, num_classes)
    positives = np.bincount(np.asarray(ground_truth.labels, dtype=np.int64), minlength=num_classes)
    by_class = np.argsort(ordered.labels, kind='stable')
    bounds = np.searchsorted(ordered.labels[by_class], np.arange(num_classes + 1))
    result = np.full((len(taken), num_classes), np.nan)
    for label in np.flatnonzero(positives):
        columns = by_class[bounds[label] : bounds[label + 1]]
        result[:, label] = interpolated_average_precision(
            taken[:, columns] >= 0, int(positives[label])
        )
    return result


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN entries (classes without ground truth).

    Returns 0 where no class has ground truth.
    """
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=-1)
    return total / np.maximum(known.sum(axis=-1), 1)


def _rank_in_group(keys: np.ndarray) -> np.ndarray:
    """Position of each row among the rows of equal key, in the order of the rows."""
    order = np.argsort(keys, kind='stable')
    ordered = keys[order]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered, side='left')
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
    thresholds = check_tious(tious)
    ground_truth = check_ground_truth(ground_truth, num_classes)
    predictions = sort_by_score(check_predictions(predictions, num_classes))
    pairs = find_overlaps(ground_truth, predictions, num_classes, thresholds.min())
    ranks = _rank_in_group(predictions.videos * num_classes + predictions.labels)
    gt_keys = ground_truth.videos * num_classes + ground_truth.labels
    _, group, sizes = np.unique(gt_keys, return_inverse=True, return_counts=True)
    instances = sizes[group.reshape(-1)]
    positives = np.bincount(ground_truth.labels, minlength=num_classes)
    result = np.full((len(ks), len(thresholds), num_classes), np.nan)
    for found, k in zip(result, ks):
        allowed = ranks[pairs.predictions] < k * instances[pairs.ground_truths]
        best = np.zeros(len(ground_truth.labels))
        np.maximum.at(best, pairs.ground_truths[allowed], pairs.tious[allowed])
        for row, threshold in zip(found, thresholds):
            hits = np.bincount(ground_truth.labels[best >= threshold], minlength=num_classes)
            np.divide(hits, positives, out=row, where=positives > 0)
    return result
