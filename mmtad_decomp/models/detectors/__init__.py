"""Detectors: the plain one, and the decomposed one that is laid over it."""

from .decomposed_detector import DecomposedDetector
from .tad_detector import TADDetector

__all__ = ['DecomposedDetector', 'TADDetector']
