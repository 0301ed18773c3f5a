"""Diagnosis of detections: false positives, sensitivity, false negatives.

After Alwassel et al., "Diagnosing Error in Temporal Action Detectors", ECCV 2018.
"""

from .characteristics import CHARACTERISTICS, PRESETS, Buckets, Preset, instance_durations
from .class_matches import (
    ClassMatches,
    class_average_precision,
    match_by_class,
    normalized_precision,
)
from .diagnose import Diagnosis, DiagnosisOptions, diagnose
from .false_positives import CATEGORIES, FalsePositiveProfile, categorize
from .instances import FalseNegatives, Sensitivity
from .report import TITLES, format_report, to_json

__all__ = [
    'CATEGORIES',
    'CHARACTERISTICS',
    'PRESETS',
    'TITLES',
    'Buckets',
    'ClassMatches',
    'Diagnosis',
    'DiagnosisOptions',
    'FalseNegatives',
    'FalsePositiveProfile',
    'Preset',
    'Sensitivity',
    'categorize',
    'class_average_precision',
    'diagnose',
    'format_report',
    'instance_durations',
    'match_by_class',
    'normalized_precision',
    'to_json',
]
