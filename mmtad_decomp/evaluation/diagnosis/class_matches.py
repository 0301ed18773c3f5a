"""Which prediction takes which ground truth, by class and rank, and precision normalised by class.

The normalised precision is of Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, match_predictions


@dataclass(frozen=True)
class ClassMatches:
    """Predictions sorted by class, then by falling score, and the ground truths they take.

    Attributes:
        ground_truth: The annotations.
        predictions: ``P`` sorted detections.
        taken: ``(T, P)`` row of the ground truth that a prediction takes at a threshold, or -1.
        ranks: ``(P,)`` place of a prediction within its class, from 0.
        positives: ``(C,)`` ground truths of each class.
    """

    ground_truth: GroundTruth
    predictions: Predictions
    taken: np.ndarray
    ranks: np.ndarray
    positives: np.ndarray

    @property
    def class_columns(self) -> list[slice]:
        """The columns of each class."""
        bounds = np.searchsorted(self.predictions.labels, np.arange(len(self.positives) + 1))
        return [slice(*pair) for pair in pairwise(bounds)]

    @property
    def mean_positives(self) -> float:
        """Ground truths per class that has any: the default N. 0 without ground truth."""
        known = self.positives[self.positives > 0]
        return float(known.mean()) if len(known) else 0.0

    def best(self, multiple: int) -> ClassMatches:
        """Of each class with ``n`` ground truths the ``multiple * n`` best predictions."""
        keep = self.ranks < multiple * self.positives[self.predictions.labels]
        return replace(
            self,
            predictions=Predictions(*(column[keep] for column in self.predictions)),
            taken=self.taken[:, keep],
            ranks=self.ranks[keep],
        )


def match_by_class(
    ground_truth: GroundTruth, predictions: Predictions, tious: object, num_classes: int
) -> ClassMatches:
    """Match with :func:`~mmtad_decomp.evaluation.functional.match_predictions`, sort by class.

    Args:
        ground_truth: The annotations.
        predictions: The detections, in any order.
        tious: ``(T,)`` thresholds in (0, 1].
        num_classes: Number of classes ``C``.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    ordered, taken = match_predictions(ground_truth, predictions, tious, num_classes)
    truth = GroundTruth(
        np.asarray(ground_truth.videos, dtype=np.int64).reshape(-1),
        np.asarray(ground_truth.segments, dtype=np.float64).reshape(-1, 2),
        np.asarray(ground_truth.labels, dtype=np.int64).reshape(-1),
    )
    by_class = np.argsort(ordered.labels, kind='stable')
    labels = ordered.labels[by_class]
    return ClassMatches(
        truth,
        Predictions(*(column[by_class] for column in ordered)),
        taken[:, by_class],
        np.arange(len(labels)) - np.searchsorted(labels, labels, side='left'),
        np.bincount(truth.labels, minlength=num_classes),
    )


def normalized_precision(
    found: np.ndarray, false: np.ndarray, num_positives: int, normalizer: float
) -> np.ndarray:
    """Precision at every rank as if the class had ``normalizer`` ground truths.

    With recall ``R`` and ``F`` false positives up to a rank, it is ``R N / (R N + F)``: a class
    with few ground truths has few true positives to set against its false positives, and N makes
    classes and buckets of different size comparable (Hoiem et al., ECCV 2012; for temporal
    detectors Alwassel et al., ECCV 2018). With N = ``num_positives`` it is the plain precision.

    Args:
        found: ``(T, n)`` bool, true positives, columns in the order of falling score.
        false: ``(T, n)`` bool, false positives; a column that is neither does not count.
        num_positives: Ground truths of the class, > 0.
        normalizer: N, > 0.

    Returns:
        ``(T, n)`` in [0, 1]; 0 before the first prediction that counts.
    """
    hits = np.cumsum(found, axis=1) * (normalizer / num_positives)
    total = hits + np.cumsum(false, axis=1)
    return np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)


def class_average_precision(
    matches: ClassMatches,
    normalizer: float | None = None,
    counted: np.ndarray | None = None,
    positives: np.ndarray | None = None,
) -> np.ndarray:
    """Interpolated average precision per threshold and class, plain or normalised (AP_N).

    ``AP_N`` is the area under the envelope of :func:`normalized_precision` over the recall.

    Args:
        matches: Who takes what.
        normalizer: N of :func:`normalized_precision`; None for the plain AP.
        counted: ``(T, P)`` bool; the other predictions are taken away. None counts all.
        positives: ``(C,)`` ground truths of each class that count, where they are not all.

    Returns:
        ``(T, C)`` float64 in [0, 1]; NaN for a class without ground truth.
    """
    positives = matches.positives if positives is None else positives
    found, false = matches.taken >= 0, matches.taken < 0
    if counted is not None:
        found, false = found & counted, false & counted
    result = np.full((len(matches.taken), len(positives)), np.nan)
    for label, columns in enumerate(matches.class_columns):
        total = int(positives[label])
        if not total:
            continue
        # (T, n) over the predictions of this class, by falling score.
        hits = found[:, columns]
        n = float(total if normalizer is None else normalizer)
        precision = normalized_precision(hits, false[:, columns], total, n)
        # The envelope is the best precision at this recall or a higher one.
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        result[:, label] = (envelope * hits).sum(axis=1) / total
    return result
