"""The one place that converts between feature steps and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

Number = TypeVar('Number', float, np.ndarray, Tensor)


@dataclass(frozen=True)
class TimeGrid:
    """A regular grid of steps on a video's time axis.

    Step ``g`` lies at ``t = (start + offset + g * stride) / fps`` seconds. Frame ``k`` of a video
    sampled at ``fps`` covers ``[k, k + 1) / fps``, so the centre of the first frame of a window
    has ``offset`` 0.5, and a step that pools ``r`` frames has ``stride`` r and ``offset`` r / 2
    (ActionFormer's convention: ``offset`` is half of the frames that one feature sees).

    Attributes:
        fps: Sampled frames per second.
        stride: Frames between neighbouring steps.
        offset: Frames from the start of the window to the centre of step 0.
        start: Index, in sampled frames, of the window's first frame.
    """

    fps: float
    stride: float = 1.0
    offset: float = 0.5
    start: float = 0.0

    def __post_init__(self) -> None:
        if not self.fps > 0 or not self.stride > 0:
            raise ValueError(
                f'TimeGrid needs fps > 0 and stride > 0, got fps={self.fps}, stride={self.stride}'
            )

    def to_seconds(self, steps: Number) -> Number:
        """Convert positions in (fractional) steps to seconds; works on numbers and arrays."""
        return (steps * self.stride + (self.offset + self.start)) / self.fps

    def to_steps(self, seconds: Number) -> Number:
        """Convert seconds to (fractional) steps; works on numbers and arrays."""
        return (seconds * self.fps - (self.offset + self.start)) / self.stride

    def edges(self, start: Number, stop: Number) -> tuple[Number, Number]:
        """Where steps ``start`` to ``stop - 1`` begin and end in seconds.

        An edge lies in the middle between neighbouring steps; works on numbers and arrays.
        """
        return self.to_seconds(start - 0.5), self.to_seconds(stop - 0.5)

    def coarsen(self, stride: float, offset: float | None = None) -> TimeGrid:
        """The grid whose steps each stand for ``stride`` neighbouring steps of this one.

        Args:
            stride: Steps of this grid between steps of the new one; below 1 the new one is finer.
            offset: Where the new step 0 is centred, in steps of this grid. Default: in the middle
                of the ``stride`` steps that it pools.
        """
        offset = (stride - 1) / 2 if offset is None else offset
        return TimeGrid(
            fps=self.fps,
            stride=self.stride * stride,
            offset=self.offset + self.stride * offset,
            start=self.start,
        )
