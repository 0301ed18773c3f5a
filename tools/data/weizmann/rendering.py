"""Pixels of a composed video: colour cast removed, cuts blended, still poses kept noisy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmtad_decomp.datasets import VideoReadError, iterate_frames
from tools.data.weizmann.planning import Clip, Piece

# Every clip gets this mean and standard deviation in each channel. They are constants, so the
# held-out actors have no part in them.
_MEAN, _STD = 126.0, 37.0

# A pixel is still when nine in ten of its frame differences stay below this many levels.
_STILL = 6.0
# The clips' codec refreshes its picture at this interval, in frames, with a visible step.
_REFRESH = 12
# E|a - b| of two unit normal variables.
_MEAN_DIFFERENCE = 2 / np.sqrt(np.pi)


@dataclass(frozen=True)
class Noise:
    """Temporal noise of a clip where nothing moves, as standard deviations in levels.

    Attributes:
        grain: Drawn anew in every frame.
        step: Drawn anew at every refresh of the codec.
    """

    grain: float
    step: float


def check_clip(source: Path, clip: Clip) -> None:
    """Compare a file with its checksum.

    Raises:
        VideoReadError: If the file is missing or differs.
    """
    path = source / clip.path
    if not path.is_file():
        raise VideoReadError(f'{path}: no such video file')
    if hashlib.md5(path.read_bytes()).hexdigest() != clip.md5:
        raise VideoReadError(f'{path}: differs from its md5 in manifest.csv; fetch it again')


def _normalise(frames: np.ndarray) -> np.ndarray:
    mean = frames.mean((0, 1, 2))
    std = frames.std((0, 1, 2))
    return (frames - mean) * (_STD / np.maximum(std, 1e-3)) + _MEAN


def _measure_noise(frames: np.ndarray) -> Noise:
    sparse = frames[: 3 * _REFRESH, ::4, ::4]
    differences = np.abs(np.diff(sparse, axis=0))
    still = np.quantile(differences, 0.9, axis=0).max(-1) < _STILL
    if not still.any():
        return Noise(0.0, 0.0)
    levels = differences[:, still].mean((1, 2)) / _MEAN_DIFFERENCE
    grain, peak = float(np.median(levels)), float(np.max(levels))
    return Noise(grain, float(np.sqrt(max(peak**2 - grain**2, 0.0))))


class ClipStore:
    """Decoded, colour-normalised clips of one video, read once each.

    Args:
        source: Folder of the clips.
        clips: By path.
    """

    def __init__(self, source: Path, clips: dict[str, Clip]) -> None:
        self._source, self._clips = source, clips
        self._frames: dict[str, np.ndarray] = {}
        self._noise: dict[str, Noise] = {}

    def get(self, path: str) -> tuple[np.ndarray, Noise]:
        """Frames ``(T, H, W, 3)`` float32 and the noise of a clip."""
        if path not in self._frames:
            clip = self._clips[path]
            check_clip(self._source, clip)
            raw = np.stack(list(iterate_frames(self._source / path))).astype(np.float32)
            if len(raw) != clip.num_frames:
                raise VideoReadError(
                    f'{self._source / path}: {len(raw)} frames, but manifest.csv says '
                    f'{clip.num_frames}; correct the manifest'
                )
            self._frames[path] = _normalise(raw)
            self._noise[path] = _measure_noise(self._frames[path])
        return self._frames[path], self._noise[path]


def _grain(rng: np.random.Generator, shape: tuple[int, ...], level: float) -> np.ndarray:
    """Grey, slightly soft noise ``(H, W, 1)``, as codecs leave it."""
    grain = cv2.GaussianBlur(rng.normal(0, 1, shape[:2]).astype(np.float32), (0, 0), 0.8)
    return (grain * (level / grain.std()))[..., None]


def _piece_frames(
    rng: np.random.Generator, store: ClipStore, piece: Piece
) -> Iterator[np.ndarray]:
    frames, noise = store.get(piece.clip)
    step = np.float32(0)
    for i in range(piece.length):
        if not piece.held:
            yield frames[piece.first + i]
            continue
        if i % _REFRESH == _REFRESH // 2:
            step = _grain(rng, frames.shape[1:], noise.step)
        yield frames[piece.first] + step + _grain(rng, frames.shape[1:], noise.grain)


def _blended(
    rng: np.random.Generator, store: ClipStore, pieces: Sequence[Piece]
) -> Iterator[np.ndarray]:
    tail: list[np.ndarray] = []
    fades = [piece.fade for piece in pieces[1:]] + [0]
    for piece, next_fade in zip(pieces, fades):
        frames = list(_piece_frames(rng, store, piece))
        for i, before in enumerate(tail):
            weight = (i + 1) / (len(tail) + 1)
            frames[i] = (1 - weight) * before + weight * frames[i]
        cut = len(frames) - next_fade
        yield from frames[:cut]
        tail = frames[cut:]


def render_frames(
    rng: np.random.Generator, store: ClipStore, pieces: Sequence[Piece]
) -> Iterator[np.ndarray]:
    """Render a composed video under one slow camera drift, the same in action and background.

    Yields:
        ``(H, W, 3)`` uint8 RGB frames.
    """
    drift = np.zeros(2)
    for frame in _blended(rng, store, pieces):
        drift = 0.97 * drift + rng.normal(0, 0.06, 2)
        shift = np.array([[1, 0, drift[0]], [0, 1, drift[1]]], np.float32)
        size = (frame.shape[1], frame.shape[0])
        moved = cv2.warpAffine(frame, shift, size, borderMode=cv2.BORDER_REPLICATE)
        yield np.clip(moved, 0, 255).round().astype(np.uint8)
