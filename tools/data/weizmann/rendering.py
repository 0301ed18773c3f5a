"""Pixels of a composed video: colour cast removed, cuts blended, still poses kept noisy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from tools.data.common import VideoError, read_frames
from tools.data.weizmann.planning import Clip, Piece

# Every clip gets this mean and standard deviation in each channel. They are constants, so the
# held-out actors have no part in them.
_MEAN, _STD = 126.0, 37.0

# Frame differences up to this many levels are sensor and codec noise, larger ones are movement.
_NOISE_LIMIT = 6.0


def check_clip(source: Path, clip: Clip) -> None:
    """Compare a file with its checksum.

    Raises:
        VideoError: If the file is missing or differs.
    """
    path = source / clip.path
    if not path.is_file():
        raise VideoError(f'{path}: no such video file')
    if hashlib.md5(path.read_bytes()).hexdigest() != clip.md5:
        raise VideoError(f'{path}: differs from its md5 in manifest.csv; fetch it again')


def _normalise(frames: np.ndarray) -> np.ndarray:
    mean = frames.mean((0, 1, 2))
    std = frames.std((0, 1, 2))
    return (frames - mean) * (_STD / np.maximum(std, 1e-3)) + _MEAN


def _noise_level(frames: np.ndarray) -> float:
    """Standard deviation of a clip's temporal noise, in levels."""
    differences = np.diff(frames[:30], axis=0)
    still = differences[np.abs(differences) <= _NOISE_LIMIT]
    return float(np.sqrt(np.mean(still**2) / 2)) if still.size else 0.0


class ClipStore:
    """Decoded, colour-normalised clips of one video, read once each.

    Args:
        source: Folder of the clips.
        clips: By path.
    """

    def __init__(self, source: Path, clips: dict[str, Clip]) -> None:
        self._source, self._clips = source, clips
        self._frames: dict[str, np.ndarray] = {}
        self._noise: dict[str, float] = {}

    def get(self, path: str) -> tuple[np.ndarray, float]:
        """Frames ``(T, H, W, 3)`` float32 and noise level of a clip."""
        if path not in self._frames:
            clip = self._clips[path]
            check_clip(self._source, clip)
            raw = np.stack(list(read_frames(self._source / path))).astype(np.float32)
            if len(raw) != clip.num_frames:
                raise VideoError(
                    f'{self._source / path}: {len(raw)} frames, but manifest.csv says '
                    f'{clip.num_frames}; correct the manifest'
                )
            self._frames[path] = _normalise(raw)
            self._noise[path] = _noise_level(self._frames[path])
        return self._frames[path], self._noise[path]


def _piece_frames(
    rng: np.random.Generator, store: ClipStore, piece: Piece
) -> Iterator[np.ndarray]:
    frames, noise = store.get(piece.clip)
    for i in range(piece.length):
        if piece.held:
            grain = rng.normal(0, 1, frames.shape[1:]).astype(np.float32)
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7)
            yield frames[piece.first] + grain * (noise / grain.std())
        else:
            yield frames[piece.first + i]


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
