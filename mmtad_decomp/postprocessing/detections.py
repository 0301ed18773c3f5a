"""The columns that travel through post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Detections(NamedTuple):
    """Segments of one video, or of one window of it.

    Attributes:
        segments: ``(N, 2)`` float64 seconds.
        scores: ``(N,)`` float64, falling after post-processing.
        labels: ``(N,)`` int64.
    """

    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def take(detections: Detections, rows: np.ndarray | slice) -> Detections:
    """The given rows of every column."""
    return Detections(*(column[rows] for column in detections))


def concatenate(parts: Sequence[Detections]) -> Detections:
    """All rows of the parts, one part after the other; no part gives no rows."""
    none = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    return Detections(*(np.concatenate(column) for column in zip(none, *parts)))


def by_score(detections: Detections) -> Detections:
    """Rows by falling score, then by start, end and label: one order whatever came in."""
    segments, scores, labels = detections
    return take(detections, np.lexsort((labels, segments[:, 1], segments[:, 0], -scores)))
