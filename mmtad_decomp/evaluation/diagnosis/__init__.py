"""Diagnosis of detections: false positives, sensitivity, false negatives.

After Alwassel et al., "Diagnosing Error in Temporal Action Detectors", ECCV 2018.
"""

from .characteristics import CHARACTERISTICS, PRESETS, Buckets, Preset, instance_durations
from .diagnose import Diagnosis, DiagnosisOptions, diagnose
from .false_positives import CATEGORIES, FalsePositiveProfile, categorize
from .instances import FalseNegatives, Sensitivity
from .matches import Matches, class_average_precision, match, normalized_precision
from .report import TITLES, format_report, to_json

__all__ = [
    'CATEGORIES',
    'CHARACTERISTICS',
    'PRESETS',
    'TITLES',
    'Buckets',
    'Diagnosis',
    'DiagnosisOptions',
    'FalseNegatives',
    'FalsePositiveProfile',
    'Matches',
    'Preset',
    'Sensitivity',
    'categorize',
    'class_average_precision',
    'diagnose',
    'format_report',
    'instance_durations',
    'match',
    'normalized_precision',
    'to_json',
]
