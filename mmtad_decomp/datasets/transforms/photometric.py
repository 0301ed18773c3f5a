"""Photometric augmentation of the RGB frames, drawn once for a window."""

from __future__ import annotations

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


def _table(values: np.ndarray) -> np.ndarray:
    """New values of the pixel values 0 to 255, rounded and clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class PhotometricDistortion(BaseTransform):
    """Random brightness, contrast, saturation and hue, each with probability ``prob``.

    The same draw holds for every frame of the window, so that it adds no motion. Pixels stay
    uint8. Defaults are E2E-TAD's.

    Args:
        brightness: Largest shift, in pixel values.
        contrast: Range of the contrast factor.
        saturation: Range of the saturation factor.
        hue: Largest turn of the hue, in degrees.
        prob: Probability of each of the four.
    """

    def __init__(
        self,
        brightness: float = 32,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: float = 18,
        prob: float = 0.5,
    ) -> None:
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Distort ``results['frames']``, ``(T, H, W, 3)`` uint8.

        Raises:
            ValueError: If no frames are loaded.
        """
        if 'frames' not in results:
            raise ValueError(
                f'video "{results["video_id"]}": PhotometricDistortion finds no frames; put a '
                'loader of frames before it, or leave it out where only optical flow is loaded'
            )
        shift, gain, saturation, hue = 0.0, 1.0, 1.0, 0.0
        if np.random.rand() < self.prob:
            shift = np.random.uniform(-self.brightness, self.brightness)
        if np.random.rand() < self.prob:
            gain = np.random.uniform(*self.contrast)
        if np.random.rand() < self.prob:
            saturation = np.random.uniform(*self.saturation)
        if np.random.rand() < self.prob:
            hue = np.random.uniform(-self.hue, self.hue)
        frames = results['frames']
        if (shift, gain) != (0.0, 1.0):
            table = _table((np.arange(256) + shift) * gain)
            frames = table[frames]
        if (saturation, hue) != (1.0, 0.0):
            frames = self._turn_colours(frames, saturation, hue)
        results['frames'] = frames
        return results

    @staticmethod
    def _turn_colours(frames: np.ndarray, saturation: float, hue: float) -> np.ndarray:
        """OpenCV's 8-bit HSV holds the hue in steps of two degrees."""
        steps, height, width, _ = frames.shape
        flat = np.ascontiguousarray(frames).reshape(steps * height, width, 3)
        hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = ((np.arange(256) + round(hue / 2)) % 180).astype(np.uint8)[hsv[..., 0]]
        hsv[..., 1] = _table(np.arange(256) * saturation)[hsv[..., 1]]
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(frames.shape)
