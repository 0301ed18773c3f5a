"""Decoded videos on disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmtad_decomp.utils import atomic_write, file_lock

from .video_reader import iterate_chosen_frames
from .video_stream import VideoReadError

_FORMAT = 3
"""Part of the key; raise it when :func:`read_frames` is to give other pixels."""

_DIGEST = 20
"""Characters of a file's name that tell what it was made from."""


class FrameCache:
    """Decoded videos on disk, so that every video is decoded once.

    A video's sampled and scaled frames lie in one ``.npy`` file that windows are read from
    through a memory map; processes and later runs share it. It is written picture by picture and
    appears atomically; of processes that need one video, one decodes it and the others wait. A
    file's name tells what it was made from (the video's path, size and time of change, the
    frames, their rate and size): where any of that changes, a new file is made and the old one may
    be deleted.

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
        count = len(indices)
        frames = _load(file, count, warn=False)
        if frames is not None:
            return frames
        with file_lock(self.folder / f'.{file.stem[-_DIGEST:]}.lock'):
            frames = _load(file, count)  # another process may have written it since
            if frames is not None:
                return frames
            try:
                _write(file, iterate_chosen_frames(path, indices, fps, short_side), count)
            except VideoReadError as error:
                self._broken[file] = str(error)
                raise
            return np.load(file, mmap_mode='r')

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
        return self.folder / f'{path.stem}_{digest.hexdigest()[:_DIGEST]}.npy'


def _write(file: Path, frames: Iterable[np.ndarray], count: int) -> None:
    """Write a ``.npy`` of ``count`` frames of one size, holding one of them in memory."""
    with atomic_write(file) as stream:
        for number, frame in enumerate(frames):
            if not number:
                shape = (count, *frame.shape)
                header = dict(descr=frame.dtype.str, fortran_order=False, shape=shape)
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(frame.tobytes())


def _load(file: Path, count: int, warn: bool = True) -> np.ndarray | None:
    """Map a cache file; None where there is none, or one that was damaged later."""
    try:
        frames = np.load(file, mmap_mode='r')
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        if warn:
            print_log(
                f'cached frames {file} are damaged ({error}); the video is decoded again',
                logger='current',
                level=logging.WARNING,
            )
        return None
    return frames if frames.ndim == 4 and len(frames) == count else None
