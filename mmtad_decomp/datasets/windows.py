"""How a video is cut into windows and which ground truth a window keeps."""

from __future__ import annotations

import math

import numpy as np

_MISSING_FRAMES = 2
_MISSING_SHARE = 0.01
"""A video may end this many frames, or this share of itself, before its annotation says."""


def window_hop(length: int, overlap: float) -> int:
    """Steps between the starts of neighbouring windows, at least one.

    Args:
        length: Steps of a window.
        overlap: Share of a window that its successor covers again, in [0, 1).

    Raises:
        ValueError: If the overlap is out of range.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f'overlap must be in [0, 1), got {overlap}')
    return max(1, round(length * (1 - overlap)))


def window_starts(num_steps: int, length: int, overlap: float) -> list[int]:
    """First steps of the windows that together cover a video, tail included.

    Args:
        num_steps: Steps of the whole video.
        length: Steps of a window.
        overlap: Share of a window that its successor covers again, in [0, 1).

    Returns:
        Ascending starts. The last window ends with the video; a video shorter than a window has
        the single start 0.
    """
    hop = window_hop(length, overlap)
    last = max(0, num_steps - length)
    return [*range(0, last, hop), last]


def num_sampled_frames(duration: float, fps: float) -> int:
    """Number of sampled frames that cover ``duration`` seconds at ``fps``, at least one."""
    return max(1, math.ceil(duration * fps - 1e-6))


def end_slack(time: float, fps: float) -> float:
    """Seconds by which a video may end before a frame that is asked for; its last is repeated.

    Args:
        time: Seconds at which the frame is asked for.
        fps: Frames per second at which frames are sampled.
    """
    return max(_MISSING_FRAMES / fps, _MISSING_SHARE * time)


def source_frame_indices(
    start: int, stop: int, sample_fps: float, source_fps: float, num_frames: int
) -> np.ndarray:
    """Indices of the stored frames that sampled frames ``start`` to ``stop - 1`` are taken from.

    Sampled frame ``k`` covers ``[k, k + 1) / sample_fps`` seconds and is taken at its centre.
    """
    centres = (np.arange(start, stop) + 0.5) / sample_fps
    return np.clip(np.floor(centres * source_fps + 1e-6).astype(np.int64), 0, num_frames - 1)


def clip_segments(
    segments: np.ndarray, begin: np.ndarray, end: np.ndarray, min_visible: float
) -> tuple[np.ndarray, np.ndarray]:
    """Clip segments to each of many windows, and find those of which enough can be seen.

    Args:
        segments: ``(K, 2)`` seconds, each of positive length.
        begin: Starts of the windows in seconds, ``(W,)``.
        end: Ends of the windows in seconds, ``(W,)``.
        min_visible: Smallest share of a segment that must lie in a window.

    Returns:
        The clipped segments, ``(W, K, 2)``, and whether enough is seen, ``(W, K)``.
    """
    clipped = segments.clip(begin[:, None, None], end[:, None, None])
    visible = (clipped[..., 1] - clipped[..., 0]) / (segments[:, 1] - segments[:, 0])
    return clipped, (visible >= min_visible) & (visible > 0)


def visible_instances(
    segments: np.ndarray, begin: float, end: float, min_visible: float
) -> tuple[np.ndarray, np.ndarray]:
    """Clip segments to ``[begin, end]`` and keep those of which enough can be seen.

    Args:
        segments: ``(K, 2)`` seconds, each of positive length.
        begin: Start of the window in seconds.
        end: End of the window in seconds.
        min_visible: Smallest share of a segment that must lie in the window.

    Returns:
        The kept segments, clipped, ``(M, 2)``, and their ``(M,)`` indices.
    """
    clipped, seen = clip_segments(segments, np.array([begin]), np.array([end]), min_visible)
    index = np.flatnonzero(seen[0])
    return clipped[0, index], index
