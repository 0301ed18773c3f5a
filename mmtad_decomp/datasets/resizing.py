"""The one way to scale frames."""

from __future__ import annotations

import cv2
import numpy as np


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height after scaling the shorter side to ``short_side``, aspect ratio kept."""
    if short_side is None:
        return width, height
    scale = short_side / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an ``(H, W, C)`` frame to ``size`` (width, height); pixels are averaged to shrink."""
    shrink = size[0] < frame.shape[1]
    mode = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=mode)
