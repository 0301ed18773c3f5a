"""The kind of mistake of every false positive, and the cost of each kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, mean_over_classes
from mmtad_decomp.structures import pairwise_tiou

from .class_matches import ClassMatches, class_average_precision

CATEGORIES = (
    'true_positive',
    'double_detection',
    'wrong_label',
    'localization',
    'confusion',
    'background',
)
LABEL_RULES = ('nearest', 'any')
_PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class FalsePositiveProfile:
    """Categories of the best predictions, and what removing a category gains.

    Attributes:
        counts: ``(M, T, 6)`` int. Row m - 1 holds, of every class with ``n`` ground truths, the
            predictions with ranks ``(m - 1) n`` to ``m n``; the last axis is
            :data:`CATEGORIES`.
        map: ``(T,)`` mAP of these predictions.
        map_n: ``(T,)`` the same, normalised.
        map_gain: ``(T, 5)`` by how much the mAP rises when the predictions of an error category
            (``CATEGORIES[1:]``) are taken away.
        map_n_gain: ``(T, 5)`` the same, normalised.
        left_out: Predictions beyond the ranks, or of classes without ground truth.
    """

    counts: np.ndarray
    map: np.ndarray
    map_n: np.ndarray
    map_gain: np.ndarray
    map_n_gain: np.ndarray
    left_out: int

    @property
    def shares(self) -> np.ndarray:
        """``(M, 6)`` shares of the categories, mean over the thresholds; NaN without any."""
        total = self.counts.sum(axis=2, keepdims=True)
        shares = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, total, out=shares, where=total > 0)
        return shares.mean(axis=1)


def best_overlaps(
    ground_truth: GroundTruth, predictions: Predictions
) -> tuple[np.ndarray, np.ndarray]:
    """Highest tIoU of every prediction with a ground truth of its video.

    Returns:
        ``(P,)`` over ground truths of any class, and ``(P,)`` over those of its own class; 0
        where there is none.
    """
    best_any, best_own = np.zeros(len(predictions.scores)), np.zeros(len(predictions.scores))
    gt_order = np.argsort(ground_truth.videos, kind='stable')
    order = np.argsort(predictions.videos, kind='stable')
    sorted_gt, sorted_videos = ground_truth.videos[gt_order], predictions.videos[order]
    for video in np.unique(ground_truth.videos):
        truth = gt_order[slice(*np.searchsorted(sorted_gt, [video, video + 1]))]
        rows = order[slice(*np.searchsorted(sorted_videos, [video, video + 1]))]
        step = max(_PAIRS_AT_ONCE // len(truth), 1)
        for part in (rows[i : i + step] for i in range(0, len(rows), step)):
            tiou = pairwise_tiou(predictions.segments[part], ground_truth.segments[truth])
            own = predictions.labels[part, None] == ground_truth.labels[truth]
            best_any[part] = tiou.max(axis=1)
            best_own[part] = np.where(own, tiou, 0).max(axis=1)
    return best_any, best_own


def categorize(
    matches: ClassMatches, tious: np.ndarray, min_tiou: float = 0.1, label_rule: str = 'nearest'
) -> np.ndarray:
    """Category of every prediction at every threshold.

    A prediction that takes a ground truth is a true positive. Of the others, let t be the highest
    tIoU with any ground truth of the video, and alpha the threshold (Alwassel et al., ECCV 2018):

    ==================  =====================  =====================
    t                   label right            label wrong
    ==================  =====================  =====================
    >= alpha            double detection       wrong label
    in [0.1, alpha)     localisation error     confusion error
    < 0.1               background error       background error
    ==================  =====================  =====================

    Whether the label is right is read from the ground truth that reaches t. Where ground truths
    of several classes share one segment (CliffDiving and Diving in THUMOS'14), one of the
    prediction's own class decides. ``label_rule='any'`` is for data in which classes overlap
    without sharing segments: the label is right if any ground truth of the prediction's class
    reaches the lower end of the row.

    Args:
        matches: Who takes what.
        tious: ``(T,)`` thresholds alpha.
        min_tiou: Lower bound of localisation and confusion errors.
        label_rule: ``'nearest'`` or ``'any'``.

    Returns:
        ``(T, P)`` index into :data:`CATEGORIES`.

    Raises:
        ValueError: If the rule is unknown.
    """
    if label_rule not in LABEL_RULES:
        raise ValueError(f'label_rule must be one of {LABEL_RULES}, got {label_rule!r}')
    best_any, best_own = best_overlaps(matches.ground_truth, matches.predictions)
    result = np.full(matches.taken.shape, CATEGORIES.index('background'), dtype=np.int8)
    for row, taken, alpha in zip(result, matches.taken, tious):
        for lower, right, wrong in (
            (min_tiou, 'localization', 'confusion'),
            (alpha, 'double_detection', 'wrong_label'),
        ):
            reached = best_any >= lower
            own = best_own >= (best_any if label_rule == 'nearest' else lower)
            row[reached & own] = CATEGORIES.index(right)
            row[reached & ~own] = CATEGORIES.index(wrong)
        row[taken >= 0] = CATEGORIES.index('true_positive')
    return result


def profile_false_positives(
    matches: ClassMatches,
    tious: np.ndarray,
    normalizer: float,
    max_multiple: int = 10,
    min_tiou: float = 0.1,
    label_rule: str = 'nearest',
) -> FalsePositiveProfile:
    """Profile the ``max_multiple * n`` best predictions of every class with n ground truths.

    Args:
        matches: Who takes what.
        tious: ``(T,)`` thresholds.
        normalizer: N of the normalised precision.
        max_multiple: How many times the number of ground truths to look at, >= 1.
        min_tiou: See :func:`categorize`.
        label_rule: See :func:`categorize`.
    """
    best = matches.best(max_multiple)
    categories = categorize(best, tious, min_tiou, label_rule)
    slices = best.ranks // np.maximum(best.positives[best.predictions.labels], 1)
    counts = np.zeros((max_multiple, len(tious), len(CATEGORIES)), dtype=np.int64)
    for t, row in enumerate(categories):
        np.add.at(counts, (slices, t, row), 1)

    def mean(n: float | None, counted: np.ndarray | None = None) -> np.ndarray:
        return mean_over_classes(class_average_precision(best, n, counted))

    plain, normalized = mean(None), mean(normalizer)
    kept = [categories != error for error in range(1, len(CATEGORIES))]
    return FalsePositiveProfile(
        counts=counts,
        map=plain,
        map_n=normalized,
        map_gain=np.stack([mean(None, keep) - plain for keep in kept], axis=1),
        map_n_gain=np.stack([mean(normalizer, keep) - normalized for keep in kept], axis=1),
        left_out=len(matches.ranks) - len(best.ranks),
    )
