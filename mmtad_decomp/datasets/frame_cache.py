"""Decoded videos on disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmtad_decomp.utils.atomic import atomic_write

from .video_reader import read_frames
from .video_stream import VideoReadError

_FORMAT = 3
"""Part of the key; raise it when :func:`read_frames` is to give other pixels."""


class FrameCache:
    """Decoded videos on disk, so that every video is decoded once.

    A video's sampled and scaled frames lie in one ``.npy`` file that windows are read from
    through a memory map; processes and later runs share it. Files appear atomically. A file's
    name tells what it was made from (the video's path, size and time of change, the frames, their
    rate and size): where any of that changes, a new file is made and the old one may be deleted.

    Args:
        folder: Where the files go; made when needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._broken: dict[Path, str] = {}

    def frames(
        self,
        path: str | Path,
        indices: Sequence[int],
        fps: float | None,
        short_side: int | None,
    ) -> np.ndarray:
        """A memory map of :func:`read_frames`'s result for the whole video.

        Args:
            path: The video.
            indices: Frames of the whole video to keep.
            fps: See :func:`read_frames`.
            short_side: See :func:`read_frames`.

        Raises:
            VideoReadError: See :func:`read_frames`. A video that failed is not decoded again
                before it changes.
        """
        file = self.file_of(path, indices, fps, short_side)
        if file in self._broken:
            raise VideoReadError(self._broken[file])
        frames = _load(file, len(indices))
        if frames is None:
            try:
                decoded = read_frames(path, indices, fps, short_side)
            except VideoReadError as error:
                self._broken[file] = str(error)
                raise
            with atomic_write(file) as stream:
                np.save(stream, decoded)
            frames = np.load(file, mmap_mode='r')
        return frames

    def file_of(
        self,
        path: str | Path,
        indices: Sequence[int],
        fps: float | None,
        short_side: int | None,
    ) -> Path:
        """The cache file that belongs to these arguments of :meth:`frames`."""
        path = Path(path).resolve()
        try:
            stat = os.stat(path)
        except OSError as error:
            raise VideoReadError(
                f'video {path} cannot be read ({error}); check `data_root`'
            ) from error
        source = (_FORMAT, str(path), stat.st_size, stat.st_mtime_ns, fps, short_side)
        digest = hashlib.sha256(repr(source).encode())
        digest.update(np.ascontiguousarray(indices, dtype=np.int64).tobytes())
        return self.folder / f'{path.stem}_{digest.hexdigest()[:20]}.npy'


def _load(file: Path, count: int) -> np.ndarray | None:
    """Map a cache file; None where there is none, or one that was damaged later."""
    try:
        frames = np.load(file, mmap_mode='r')
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        print_log(
            f'cached frames {file} are damaged ({error}); the video is decoded again',
            logger='current',
            level=logging.WARNING,
        )
        return None
    return frames if frames.ndim == 4 and len(frames) == count else None
