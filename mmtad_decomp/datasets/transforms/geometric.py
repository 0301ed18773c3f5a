"""Geometric augmentation, drawn once for a window and shared by every modality in it.

``results['frames']`` is ``(T, H, W, 3)`` uint8 RGB; ``results['flow']``, where it is present, is
``(T, H, W, 2)`` float32 displacements in pixels and moves along: what turns or mirrors the picture
turns or mirrors the vectors.
"""

from __future__ import annotations

import logging
import math

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ..resizing import resize, scaled_size
from ..video_stream import VideoReadError


class SharedGeometry(BaseTransform):
    """Base: one draw of parameters, applied to the frames and to the flow alike."""

    def transform(self, results: dict) -> dict:
        """Draw parameters and apply them to every modality present.

        Raises:
            VideoReadError: If the frames of this video are too small.
            ValueError: If there are no frames, or flow of another size.
        """
        present = [key for key in ('frames', 'flow') if key in results]
        if not present:
            raise ValueError(
                f'{type(self).__name__} finds neither "frames" nor "flow"; put a loader before it'
            )
        height, width = results[present[0]].shape[1:3]
        for key in present[1:]:
            if results[key].shape[1:3] != (height, width):
                raise ValueError(
                    f'video "{results["video_id"]}": "{key}" is {results[key].shape[1:3]} pixels '
                    f'(height, width), "{present[0]}" {(height, width)}; load both at one size'
                )
        try:
            parameters = self.draw(height, width)
        except VideoReadError as error:
            raise VideoReadError(f'video "{results["video_id"]}": {error}') from None
        if parameters is not None:
            for key in present:
                moved = self.move(results[key], *parameters)
                if key == 'flow':
                    moved = self.turn_vectors(moved, *parameters)
                results[key] = moved
        return results

    def draw(self, height: int, width: int) -> tuple | None:
        """Parameters of one application; None applies nothing."""
        raise NotImplementedError

    def move(self, clip: np.ndarray, *parameters) -> np.ndarray:
        """Apply to a ``(T, H, W, C)`` clip."""
        raise NotImplementedError

    def turn_vectors(self, flow: np.ndarray, *parameters) -> np.ndarray:
        """Correct flow vectors for the movement; default: they stay as they are."""
        return flow


def _per_frame(clip: np.ndarray, function) -> np.ndarray:
    return np.stack([function(frame) for frame in clip])


@TRANSFORMS.register_module()
class ResizeShortSide(SharedGeometry):
    """Scale the shorter side to ``short_side`` pixels; flow vectors scale with it."""

    def __init__(self, short_side: int) -> None:
        self.short_side = short_side

    def draw(self, height: int, width: int) -> tuple | None:
        size = scaled_size(width, height, self.short_side)
        return None if size == (width, height) else (size, (size[0] / width, size[1] / height))

    def move(self, clip: np.ndarray, size, scale) -> np.ndarray:
        return _per_frame(clip, lambda frame: resize(frame, size))

    def turn_vectors(self, flow: np.ndarray, size, scale) -> np.ndarray:
        return flow * np.array(scale, dtype=flow.dtype)


class _Crop(SharedGeometry):
    """Base of the crops.

    Frames whose short side is as long as that of the crop or longer, and which still do not cover
    it, are scaled up until they do: an upright or square video and a wide crop. The log names it.

    Args:
        size: Side of a square, or ``(height, width)``, in pixels.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.scaled_up: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Draw a rectangle and cut it out of every modality present.

        Raises:
            VideoReadError: If the frames of this video are too small.
            ValueError: If there are no frames, or flow of another size.
        """
        clip = results.get('frames', results.get('flow'))
        if clip is not None:
            short_side = self._covering_short_side(*clip.shape[1:3])
            if short_side is not None:
                self._tell(results['video_id'], *clip.shape[1:3])
                results = ResizeShortSide(short_side).transform(results)
        return super().transform(results)

    def _covering_short_side(self, height: int, width: int) -> int | None:
        """Short side that frames of another shape need; None leaves them as they are."""
        scale = max(self.height / height, self.width / width)
        short = min(height, width)
        if scale <= 1 or short < min(self.height, self.width):
            return None
        return math.ceil(scale * short)

    def _tell(self, video_id: str, height: int, width: int) -> None:
        """Log once that a video is scaled up."""
        if video_id in self.scaled_up:
            return
        self.scaled_up.add(video_id)
        print_log(
            f'video "{video_id}": frames of {height}x{width} pixels (height x width) are scaled '
            f'up to cover the crop of {self.height}x{self.width}; the model may have been trained '
            'on videos of other shapes only',
            logger='current',
            level=logging.WARNING,
        )

    def room(self, height: int, width: int) -> tuple[int, int]:
        """Pixels by which a frame is higher and wider than the crop.

        Raises:
            VideoReadError: If it is not.
        """
        if height < self.height or width < self.width:
            raise VideoReadError(
                f'cannot crop {self.height}x{self.width} (height x width) from frames of '
                f'{height}x{width}: raise short_side of the loader or lower the crop size'
            )
        return height - self.height, width - self.width

    def move(self, clip: np.ndarray, top: int, left: int) -> np.ndarray:
        return clip[:, top : top + self.height, left : left + self.width]


@TRANSFORMS.register_module()
class RandomSpatialCrop(_Crop):
    """Crop the same random rectangle from every frame of the window."""

    def draw(self, height: int, width: int) -> tuple:
        down, right = self.room(height, width)
        return np.random.randint(0, down + 1), np.random.randint(0, right + 1)


@TRANSFORMS.register_module()
class CenterSpatialCrop(_Crop):
    """Crop the central rectangle."""

    def draw(self, height: int, width: int) -> tuple:
        down, right = self.room(height, width)
        return down // 2, right // 2


@TRANSFORMS.register_module()
class RandomHorizontalFlip(SharedGeometry):
    """Mirror the window with probability ``prob``; the flow's x changes sign."""

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def draw(self, height: int, width: int) -> tuple | None:
        return () if np.random.rand() < self.prob else None

    def move(self, clip: np.ndarray) -> np.ndarray:
        return clip[:, :, ::-1]

    def turn_vectors(self, flow: np.ndarray) -> np.ndarray:
        return flow * np.array([-1, 1], dtype=flow.dtype)


@TRANSFORMS.register_module()
class RandomRotation(SharedGeometry):
    """Rotate the window by one random angle with probability ``prob``; flow vectors turn with it.

    The corners show the picture reflected at its border, as in E2E-TAD; flow vectors are mirrored
    there.

    Args:
        degrees: The angle is drawn from ``[-degrees, degrees]``.
        prob: Probability of rotating.
    """

    def __init__(self, degrees: float = 45, prob: float = 0.5) -> None:
        self.degrees = degrees
        self.prob = prob

    def draw(self, height: int, width: int) -> tuple | None:
        if np.random.rand() >= self.prob:
            return None
        return (np.random.uniform(-self.degrees, self.degrees),)

    def move(self, clip: np.ndarray, angle: float) -> np.ndarray:
        height, width = clip.shape[1:3]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        return _per_frame(
            clip,
            lambda frame: cv2.warpAffine(
                frame, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101
            ),
        )

    def turn_vectors(self, flow: np.ndarray, angle: float) -> np.ndarray:
        height, width = flow.shape[1:3]
        cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        turn = np.array([[cos, sin], [-sin, cos]], dtype=flow.dtype)
        # (H, W, 2): where a pixel comes from, in widths and heights from the centre
        offset = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        size = np.array([width - 1, height - 1])
        source = ((offset - size / 2) @ turn) / np.maximum(size, 1)
        mirrored = np.floor(np.abs(source) + 0.5 - 1e-6) % 2
        return (flow * (1 - 2 * mirrored).astype(flow.dtype)) @ turn.T
