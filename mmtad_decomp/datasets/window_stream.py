"""From frames, front to back, to the windows that a test serves."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from .windows import window_hop


def stream_windows(
    frames: Iterable[np.ndarray], length: int | None, overlap: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a video of unknown length into overlapping windows, each frame being read once.

    The windows are those of :func:`~mmtad_decomp.datasets.window_starts`: the last one ends with
    the video, and a video shorter than a window is one window. At most ``length`` frames are in
    memory.

    Args:
        frames: ``(H, W, 3)`` frames of one size.
        length: Frames of a window; None puts the whole video, in memory, into one window.
        overlap: Share of a window that its successor covers again, in [0, 1).

    Yields:
        First frame of a window, and its ``(T, H, W, 3)`` frames.
    """
    hop = 0 if length is None else window_hop(length, overlap)
    held: deque[np.ndarray] = deque(maxlen=length)
    count, due = 0, 0
    for frame in frames:
        if length is not None and count == due + length:
            # A frame follows, so this window is not the last one.
            yield due, np.stack(held)
            due += hop
        held.append(frame)
        count += 1
    if count:
        yield count - len(held), np.stack(held)
