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
    """E2E-TAD's random brightness, contrast, saturation, hue and order of the channels.

    With probability ``prob`` the window is distorted: brightness, contrast, saturation and the
    order of the channels change with probability 0.5 each, the hue always. Contrast comes before
    or after the colours, with the same chance. The same draw holds for every frame of the window,
    so that it adds no motion. Pixels stay uint8. Defaults are E2E-TAD's.

    Args:
        brightness: Largest shift, in pixel values.
        contrast: Range of the contrast factor.
        saturation: Range of the saturation factor.
        hue: Largest turn of the hue, in degrees.
        prob: Probability that a window is distorted at all.
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
        if np.random.rand() < self.prob:
            results['frames'] = self._distort(results['frames'])
        return results

    def _distort(self, frames: np.ndarray) -> np.ndarray:
        """Draw once and apply to all ``(T, H, W, 3)`` frames."""
        levels, gain, saturation = np.arange(256), 1.0, 1.0
        if np.random.randint(2):
            shift = np.random.uniform(-self.brightness, self.brightness)
            levels = np.clip(levels + shift, 0, 255)
        contrast_first = np.random.randint(2)
        if np.random.randint(2):
            gain = np.random.uniform(*self.contrast)
        if np.random.randint(2):
            saturation = np.random.uniform(*self.saturation)
        hue = np.random.uniform(-self.hue, self.hue)

        frames = _table(levels * gain if contrast_first else levels)[frames]
        frames = self._turn_colours(frames, saturation, hue)
        if not contrast_first:
            frames = _table(np.arange(256) * gain)[frames]
        if np.random.randint(2):
            frames = np.ascontiguousarray(frames[..., np.random.permutation(3)])
        return frames

    @staticmethod
    def _turn_colours(frames: np.ndarray, saturation: float, hue: float) -> np.ndarray:
        """OpenCV's 8-bit HSV holds the hue in steps of two degrees."""
        steps, height, width, _ = frames.shape
        flat = np.ascontiguousarray(frames).reshape(steps * height, width, 3)
        hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = ((np.arange(256) + round(hue / 2)) % 180).astype(np.uint8)[hsv[..., 0]]
        hsv[..., 1] = _table(np.arange(256) * saturation)[hsv[..., 1]]
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(frames.shape)
