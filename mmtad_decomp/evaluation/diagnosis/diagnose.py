"""The whole diagnosis of a set of detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, mean_over_classes

from .characteristics import CHARACTERISTICS, PRESETS, Buckets, measure
from .class_matches import class_average_precision, match_by_class
from .false_positives import LABEL_RULES, FalsePositiveProfile, profile_false_positives
from .instances import FalseNegatives, Sensitivity, false_negatives, missed, sensitivity


@dataclass(frozen=True)
class DiagnosisOptions:
    """Options of a diagnosis.

    Args:
        tious: Thresholds in (0, 1].
        buckets: Buckets by characteristic (:data:`CHARACTERISTICS`).
        normalizer: N of the normalised precision; None for the average number of ground truths
            per class that has any, as Alwassel et al. have it.
        max_multiple: Multiples of the number of ground truths that the false-positive profile
            looks at.
        min_tiou: Below it a false positive is a background error.
        label_rule: See :func:`~.false_positives.categorize`.
        min_precision: See :func:`~.instances.missed`.

    Raises:
        ValueError: If an option is out of range.
    """

    tious: tuple[float, ...] = PRESETS['activitynet'].tious
    buckets: Mapping[str, Buckets] = field(default_factory=lambda: PRESETS['activitynet'].buckets)
    normalizer: float | None = None
    max_multiple: int = 10
    min_tiou: float = 0.1
    label_rule: str = 'nearest'
    min_precision: float = 0.05

    def __post_init__(self) -> None:
        if not self.tious or not all(0 < tiou <= 1 for tiou in self.tious):
            raise ValueError(f'tious must be one or more numbers in (0, 1], got {self.tious}')
        unknown = set(self.buckets) - set(CHARACTERISTICS)
        if unknown:
            raise ValueError(f'buckets: {sorted(unknown)} are not among {CHARACTERISTICS}')
        if self.normalizer is not None and not self.normalizer > 0:
            raise ValueError(f'normalizer must be > 0 or None, got {self.normalizer}')
        if self.max_multiple < 1:
            raise ValueError(f'max_multiple must be >= 1, got {self.max_multiple}')
        if not 0 < self.min_tiou <= 1:
            raise ValueError(f'min_tiou must be in (0, 1], got {self.min_tiou}')
        if self.label_rule not in LABEL_RULES:
            raise ValueError(f'label_rule must be one of {LABEL_RULES}, got {self.label_rule!r}')
        if not 0 <= self.min_precision < 1:
            raise ValueError(f'min_precision must be in [0, 1), got {self.min_precision}')

    @classmethod
    def preset(cls, name: str, **changes: Any) -> DiagnosisOptions:
        """Options of ``'activitynet'`` or ``'thumos14'``, with changes."""
        if name not in PRESETS:
            raise ValueError(f'preset must be one of {sorted(PRESETS)}, got {name!r}')
        options = cls(tious=PRESETS[name].tious, buckets=PRESETS[name].buckets)
        return replace(options, **changes)


@dataclass(frozen=True)
class Diagnosis:
    """Results of :func:`diagnose`; arrays over thresholds follow ``options.tious``.

    Attributes:
        options: As given, with the ``normalizer`` used.
        num_ground_truths: Instances.
        num_predictions: Detections.
        classes_with_ground_truth: Classes over which means are taken.
        characteristics: ``(G,)`` values by characteristic, see :func:`~.characteristics.measure`.
        map: ``(T,)`` mAP of all predictions.
        map_n: ``(T,)`` the same, normalised.
        false_positives: The profile.
        sensitivity: By characteristic.
        false_negatives: Shares of missed instances.
    """

    options: DiagnosisOptions
    num_ground_truths: int
    num_predictions: int
    classes_with_ground_truth: int
    characteristics: dict[str, np.ndarray]
    map: np.ndarray
    map_n: np.ndarray
    false_positives: FalsePositiveProfile
    sensitivity: dict[str, Sensitivity]
    false_negatives: FalseNegatives


def diagnose(
    ground_truth: GroundTruth,
    predictions: Predictions,
    durations: np.ndarray,
    num_classes: int,
    options: DiagnosisOptions | None = None,
) -> Diagnosis:
    """Diagnose detections as Alwassel et al., "Diagnosing Error in Temporal Action Detectors",
    ECCV 2018, do.

    Args:
        ground_truth: The annotations. Instances with several labels are several rows.
        predictions: The detections, in any order.
        durations: ``(G,)`` seconds, the duration of each ground truth's video.
        num_classes: Number of classes.
        options: See :class:`DiagnosisOptions`.

    Raises:
        ValueError: If a table, a duration or a bucket does not fit.
    """
    options = DiagnosisOptions() if options is None else options
    matches = match_by_class(ground_truth, predictions, options.tious, num_classes)
    tious = np.array(options.tious, dtype=np.float64)
    normalizer = options.normalizer or matches.mean_positives
    values = measure(matches.ground_truth, durations)
    buckets = {
        name: of_kind.assign(values[name], name) for name, of_kind in options.buckets.items()
    }
    sizes = {name: len(of_kind) for name, of_kind in options.buckets.items()}
    return Diagnosis(
        options=replace(options, normalizer=normalizer or None),
        num_ground_truths=len(matches.ground_truth.labels),
        num_predictions=len(matches.ranks),
        classes_with_ground_truth=int((matches.positives > 0).sum()),
        characteristics=values,
        map=mean_over_classes(class_average_precision(matches)),
        map_n=mean_over_classes(class_average_precision(matches, normalizer)),
        false_positives=profile_false_positives(
            matches,
            tious,
            normalizer,
            options.max_multiple,
            options.min_tiou,
            options.label_rule,
        ),
        sensitivity={
            name: sensitivity(matches, bucket, sizes[name], normalizer)
            for name, bucket in buckets.items()
        },
        false_negatives=false_negatives(
            missed(matches, normalizer, options.min_precision), buckets, sizes
        ),
    )
