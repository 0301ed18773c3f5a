"""Small videos whose frames can be told apart, and annotation files for them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_BITS = 12
_BLOCK = 16


def numbered_frame(index: int) -> np.ndarray:
    """A ``(48, 64, 3)`` picture that holds its number in black and white blocks."""
    bits = [(index >> bit) & 1 for bit in range(_BITS)]
    blocks = np.array(bits, dtype=np.uint8).reshape(3, 4) * 200 + 25
    picture = blocks.repeat(_BLOCK, 0).repeat(_BLOCK, 1)
    return np.stack([picture] * 3, axis=-1)


def number_of(frame: np.ndarray) -> int:
    """Read the number back, from a frame of any size."""
    height, width = frame.shape[0] / 3, frame.shape[1] / 4
    grey = frame.mean(axis=-1)
    number = 0
    for bit in range(_BITS):
        row, column = divmod(bit, 4)
        y, x = int((row + 0.5) * height), int((column + 0.5) * width)
        number |= int(grey[y, x] > 125) << bit
    return number


def numbers_of(frames: np.ndarray) -> list[int]:
    """Numbers of a ``(T, H, W, 3)`` clip."""
    return [number_of(frame) for frame in frames]


def encode(
    path: Path,
    count: int,
    fps: float = 25,
    codec: str = 'libx264',
    container: dict | None = None,
    **options: str,
) -> Path:
    """Write a video of numbered frames with PyAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), 'w', options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        stream.thread_count = 1
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(index), format='rgb24')
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def video_entry(
    duration: float,
    *instances: tuple[float, float, str],
    subset: str = 'training',
    fps: float | None = 25,
    **fields: object,
) -> dict:
    """One entry of an annotation file's database."""
    entry = dict(
        subset=subset,
        duration=duration,
        annotations=[{'segment': [s, e], 'label': label} for s, e, label in instances],
        **fields,
    )
    if fps is not None:
        entry['fps'] = fps
    return entry


def write_annotations(path: Path, database: dict, **fields: object) -> Path:
    """Write an ActivityNet-style file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'version': 'test', 'database': database, **fields}))
    return path
