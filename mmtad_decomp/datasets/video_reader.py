"""Decoding of video files to uint8 frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


class VideoReadError(RuntimeError):
    """A video cannot be decoded as asked; the message names the file and the mend."""


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Width and height after scaling the shorter side to ``short_side``, aspect ratio kept."""
    if short_side is None:
        return width, height
    scale = short_side / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _open(path: str | Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise VideoReadError(f'video {path} does not exist; check `data_root`') from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoReadError(
            f'video {path} cannot be read ({error}); download or extract it again'
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoReadError(f'{path} has no video stream; it is not a video file')
    return container


def read_frames(
    path: str | Path,
    indices: Sequence[int],
    fps: float | None = None,
    short_side: int | None = None,
) -> np.ndarray:
    """Decode chosen frames of a video file with PyAV.

    Decoding starts at the key frame before the first frame asked for.

    Args:
        path: The video.
        indices: Ascending frame indices; repeats are allowed.
        fps: Frame rate that the annotation claims; None trusts the file's.
        short_side: Scale the shorter side to this many pixels; None keeps the size.

    Returns:
        ``(len(indices), H, W, 3)`` uint8 RGB.

    Raises:
        VideoReadError: If the file is missing, unreadable, shorter than asked for, or of another
            frame rate than ``fps`` by more than 1 %.
    """
    indices = np.asarray(indices, dtype=np.int64)
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = 'AUTO'
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if fps is not None and rate and abs(rate - fps) > 0.01 * fps:
            raise VideoReadError(
                f'video {path} has {rate:.3f} frames per second, its annotation says "fps": '
                f'{fps}; correct the annotation or re-encode the video'
            )
        size = scaled_size(stream.codec_context.width, stream.codec_context.height, short_side)
        frames = _decode(container, stream, indices, rate or fps, size, path)
    return frames


def _decode(container, stream, indices, rate, size, path) -> np.ndarray:
    out = np.empty((len(indices), size[1], size[0], 3), dtype=np.uint8)
    first, last = int(indices[0]), int(indices[-1])
    begin = float((stream.start_time or 0) * stream.time_base)
    if first > 0:
        target = int((begin + max(0.0, (first - 1) / rate)) / stream.time_base)
        container.seek(target, stream=stream)
    filled, index, seen = 0, None, -1
    try:
        for frame in container.decode(stream):
            if index is None or frame.pts is not None:
                index = round((frame.time - begin) * rate) if frame.pts is not None else 0
            else:
                index += 1
            seen = max(seen, index)
            if filled < len(indices) and index >= indices[filled]:
                pixels = frame.reformat(
                    size[0], size[1], 'rgb24', interpolation='AREA'
                ).to_ndarray()
                while filled < len(indices) and index >= indices[filled]:
                    out[filled] = pixels
                    filled += 1
            if index >= last:
                break
    except av.error.FFmpegError as error:
        raise VideoReadError(
            f'video {path} breaks off after frame {seen} ({error}); download or extract it again'
        ) from error
    if filled < len(indices) and indices[filled] - seen > 2:
        raise VideoReadError(
            f'video {path} is truncated: frame {last} was asked for, the last one is {seen}; '
            'download or extract it again, or correct "duration" in its annotation'
        )
    if filled == 0:
        raise VideoReadError(f'video {path} has no decodable frame; download it again')
    out[filled:] = out[filled - 1]
    return out


class FrameCache:
    """Decoded videos on disk, so that every video is decoded once.

    A video's sampled and scaled frames lie in one ``.npy`` file that windows are read from
    through a memory map; processes and later runs share it. Files appear atomically.

    Args:
        folder: Where the files go; made when needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def frames(
        self,
        path: str | Path,
        indices: Sequence[int],
        fps: float | None,
        short_side: int | None,
        tag: str,
    ) -> np.ndarray:
        """A memory map of :func:`read_frames`'s result for the whole video.

        Args:
            path: The video.
            indices: Frames of the whole video to keep.
            fps: See :func:`read_frames`.
            short_side: See :func:`read_frames`.
            tag: Tells this sampling of the video from others, in the file's name.
        """
        stat = os.stat(path)
        key = f'{Path(path).stem}_{tag}_{short_side}_{stat.st_size}_{int(stat.st_mtime)}'
        file = self.folder / f'{key}.npy'
        if not file.exists():
            frames = read_frames(path, indices, fps, short_side)
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f'{key}.{os.getpid()}.tmp')
            with open(partial, 'wb') as stream:
                np.save(stream, frames)
            os.replace(partial, file)
        return np.load(file, mmap_mode='r')
