"""Detectors, plain and decomposed, with heads of this package or localizers of MMAction2."""

from .branches import Branches
from .decomposed_detector import DecomposedDetector
from .localizer_detector import DecomposedLocalizer, LocalizerDetector
from .tad_detector import TADDetector

__all__ = [
    'Branches',
    'DecomposedDetector',
    'DecomposedLocalizer',
    'LocalizerDetector',
    'TADDetector',
]
