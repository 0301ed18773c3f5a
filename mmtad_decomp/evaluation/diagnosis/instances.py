"""How well instances of each kind are found: sensitivity and false negatives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mmtad_decomp.evaluation.functional import mean_over_classes

from .class_matches import ClassMatches, class_average_precision, normalized_precision


@dataclass(frozen=True)
class Sensitivity:
    """Normalised mAP of each bucket of a characteristic.

    Attributes:
        instances: ``(B,)`` ground truths in each bucket.
        map_n: ``(T, B)``; NaN in an empty bucket.
        change: ``(B,)`` average-mAP_N of the bucket over that of all instances, minus 1; NaN in
            an empty bucket and where that of all is 0.
    """

    instances: np.ndarray
    map_n: np.ndarray
    change: np.ndarray


@dataclass(frozen=True)
class FalseNegatives:
    """Shares of ground truths that are missed.

    Attributes:
        overall: ``(T,)`` of all; NaN without ground truth.
        single: By characteristic, ``(T, B)``; NaN in an empty bucket.
        pairs: By two characteristics, ``(T, B1, B2)``; NaN in an empty bucket.
        pair_instances: By two characteristics, ``(B1, B2)`` ground truths.
    """

    overall: np.ndarray
    single: dict[str, np.ndarray]
    pairs: dict[tuple[str, str], np.ndarray]
    pair_instances: dict[tuple[str, str], np.ndarray]


def sensitivity(
    matches: ClassMatches, bucket: np.ndarray, size: int, normalizer: float
) -> Sensitivity:
    """Average precision of each bucket as if its instances were all there is.

    A prediction that takes an instance of another bucket is left out, at the threshold at which
    it does; false positives count in every bucket. The mean is over the classes that have
    instances in the bucket.

    Args:
        matches: Who takes what.
        bucket: ``(G,)`` bucket of each ground truth.
        size: Number of buckets ``B``.
        normalizer: N of the normalised precision.
    """
    truth, num_classes = matches.ground_truth, len(matches.positives)
    instances = np.bincount(bucket, minlength=size)
    values = np.full((len(matches.taken), size), np.nan)
    of_taken = np.append(bucket, -1)[matches.taken]
    for i in np.flatnonzero(instances):
        positives = np.bincount(truth.labels[bucket == i], minlength=num_classes)
        counted = (of_taken == i) | (matches.taken < 0)
        ap = class_average_precision(matches, normalizer, counted, positives)
        values[:, i] = mean_over_classes(ap)
    base = mean_over_classes(class_average_precision(matches, normalizer)).mean()
    average = values.mean(axis=0)
    change = average / base - 1 if base > 0 else np.full(size, np.nan)
    return Sensitivity(instances, values, change)


def missed(matches: ClassMatches, normalizer: float, min_precision: float = 0.05) -> np.ndarray:
    """Ground truths that no prediction finds.

    A ground truth is found if a prediction takes it at a rank where the normalised precision of
    its class is above ``min_precision``, so that a match among thousands of false positives does
    not count; 0 counts every match.

    Returns:
        ``(T, G)`` bool.
    """
    found = matches.taken >= 0
    result = np.ones((len(found), len(matches.ground_truth.labels)), dtype=bool)
    for total, columns in zip(matches.positives, matches.class_columns):
        if not total:
            continue
        hits = found[:, columns]
        useful = hits & (normalized_precision(hits, ~hits, int(total), normalizer) > min_precision)
        row, column = np.nonzero(useful)
        result[row, matches.taken[:, columns][row, column]] = False
    return result


def _share(lost: np.ndarray, cell: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """``(T, size)`` share of lost ground truths per cell (NaN where empty), and cell sizes."""
    total = np.bincount(cell, minlength=size)
    counts = np.stack([np.bincount(cell, weights=row, minlength=size) for row in lost])
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares, total


def false_negatives(
    lost: np.ndarray, buckets: dict[str, np.ndarray], sizes: dict[str, int]
) -> FalseNegatives:
    """Shares of missed ground truths per bucket and per pair of buckets.

    Args:
        lost: ``(T, G)`` bool, see :func:`missed`.
        buckets: By characteristic, ``(G,)`` bucket of each ground truth.
        sizes: By characteristic, the number of buckets.
    """
    everything = np.zeros(lost.shape[1], dtype=np.int64)
    pairs, pair_instances = {}, {}
    for first, second in combinations(buckets, 2):
        shape = (sizes[first], sizes[second])
        cell = buckets[first] * shape[1] + buckets[second]
        shares, total = _share(lost, cell, shape[0] * shape[1])
        pairs[first, second] = shares.reshape(-1, *shape)
        pair_instances[first, second] = total.reshape(shape)
    return FalseNegatives(
        overall=_share(lost, everything, 1)[0][:, 0],
        single={name: _share(lost, cell, sizes[name])[0] for name, cell in buckets.items()},
        pairs=pairs,
        pair_instances=pair_instances,
    )
