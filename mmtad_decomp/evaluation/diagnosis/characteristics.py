"""Characteristics of instances: coverage, length and the number of instances in their video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth
from mmtad_decomp.structures import AnnotationSet

SIZES = ('XS', 'S', 'M', 'L', 'XL')
CHARACTERISTICS = ('coverage', 'length', 'instances')


@dataclass(frozen=True)
class Buckets:
    """Neighbouring intervals; each holds its upper edge, the first also its lower one.

    Args:
        edges: Rising numbers, two or more; the last may be infinite.

    Raises:
        ValueError: If the edges do not rise or are too few.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = tuple(float(edge) for edge in self.edges)
        if len(edges) < 2 or not all(a < b for a, b in pairwise(edges)):
            raise ValueError(f'bucket edges must be two or more rising numbers, got {self.edges}')
        object.__setattr__(self, 'edges', edges)

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """XS, S, M, L, XL as far as needed; numbers from 1 where there are more than five."""
        if len(self) <= len(SIZES):
            return SIZES[: len(self)]
        return tuple(str(i + 1) for i in range(len(self)))

    @property
    def ranges(self) -> tuple[str, ...]:
        """The intervals in words, such as ``3-6`` or ``> 18``."""
        return tuple(
            f'> {low:g}' if math.isinf(high) else f'{max(low, 0):g}-{high:g}'
            for low, high in pairwise(self.edges)
        )

    def assign(self, values: np.ndarray, name: str) -> np.ndarray:
        """Bucket of each value.

        Args:
            values: ``(G,)`` numbers.
            name: Of the characteristic, for the error.

        Raises:
            ValueError: If a value lies outside the edges.
        """
        inside = (values >= self.edges[0]) & (values <= self.edges[-1])
        if not inside.all():
            raise ValueError(
                f'{name}: an instance has {values[~inside][0]:g}, outside the bucket edges '
                f'{list(self.edges)}; widen them (the last may be inf)'
            )
        return np.maximum(np.searchsorted(self.edges, values, side='left') - 1, 0)


@dataclass(frozen=True)
class Preset:
    """Thresholds and bucket edges that suit a data set.

    Attributes:
        tious: Thresholds of the data set's average mAP.
        buckets: Buckets by characteristic.
    """

    tious: tuple[float, ...]
    buckets: dict[str, Buckets]


def _buckets(
    coverage: Sequence[float], length: Sequence[float], instances: Sequence[float]
) -> dict[str, Buckets]:
    edges = (coverage, length, instances)
    return {name: Buckets(tuple(row)) for name, row in zip(CHARACTERISTICS, edges)}


PRESETS = {
    'activitynet': Preset(
        tuple(np.linspace(0.5, 0.95, 10).round(2).tolist()),
        _buckets(
            (0, 0.2, 0.4, 0.6, 0.8, 1), (0, 30, 60, 120, 180, math.inf), (0, 1, 4, 8, math.inf)
        ),
    ),
    'thumos14': Preset(
        (0.3, 0.4, 0.5, 0.6, 0.7),
        _buckets(
            (0, 0.02, 0.04, 0.06, 0.08, 1), (0, 3, 6, 12, 18, math.inf), (0, 1, 40, 80, math.inf)
        ),
    ),
}
"""Edges of Alwassel et al., ECCV 2018, whose own analysis of THUMOS'14 uses tIoU 0.5 alone."""


def instance_durations(annotations: AnnotationSet) -> np.ndarray:
    """``(G,)`` seconds, the duration of each instance's video.

    The order is that of :func:`~mmtad_decomp.evaluation.ground_truth_table`.
    """
    videos = list(annotations.videos.values())
    return np.repeat(
        np.array([video.duration for video in videos]), [len(video.labels) for video in videos]
    )


def measure(ground_truth: GroundTruth, durations: np.ndarray) -> dict[str, np.ndarray]:
    """Characteristics of every instance.

    Args:
        ground_truth: The annotations.
        durations: ``(G,)`` seconds, the duration of each instance's video.

    Returns:
        ``coverage``: length over the video's duration, in (0, 1]; ``length``: seconds;
        ``instances``: instances of its video, of all classes together (so in the data that the
        authors published; an instance with two labels counts twice).

    Raises:
        ValueError: If durations are missing, not positive or shorter than their instances.
    """
    durations = np.asarray(durations, dtype=np.float64).reshape(-1)
    if len(durations) != len(ground_truth.labels):
        raise ValueError(
            f'durations must have one value per ground truth ({len(ground_truth.labels)}), got '
            f'{len(durations)}'
        )
    length = ground_truth.segments[:, 1] - ground_truth.segments[:, 0]
    wrong = ~((durations > 0) & (length <= durations) & (length >= 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f'ground truth {row} is {length[row]:g} s long in a video of {durations[row]:g} s; '
            'correct the segment or the duration'
        )
    _, group, sizes = np.unique(ground_truth.videos, return_inverse=True, return_counts=True)
    instances = sizes[group.reshape(-1)].astype(np.float64)
    return dict(coverage=length / durations, length=length, instances=instances)
