"""Detectors, plain and decomposed: with a head of ours, and with a localizer of MMAction2."""

from .decomposed_detector import DecomposedDetector
from .localizer_detector import DecomposedLocalizer, LocalizerDetector
from .tad_detector import TADDetector

__all__ = ['DecomposedDetector', 'DecomposedLocalizer', 'LocalizerDetector', 'TADDetector']
