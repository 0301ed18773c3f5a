"""Decoding of video files to uint8 frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from .resizing import scaled_size

_MISSING_FRAMES = 2
_MISSING_SHARE = 0.01
"""A video may end this many frames, or this share of itself, before its annotation says."""

_EXACT_TIMES = {'mov', 'mp4', 'matroska', 'webm'}
"""Containers whose start time is that of the first frame; in others the first frame tells."""


class VideoReadError(RuntimeError):
    """A video cannot be decoded as asked; the message names the file and the mend."""


def read_frames(
    path: str | Path,
    indices: Sequence[int],
    fps: float | None = None,
    short_side: int | None = None,
) -> np.ndarray:
    """Decode chosen frames of a video file with PyAV.

    Frame ``k`` is the one shown at ``k / fps`` seconds, whatever decoding begins with: a seek is
    used only where it gives the frames that decoding from the beginning gives.

    Args:
        path: The video.
        indices: Ascending frame indices, at least one; repeats are allowed.
        fps: Frame rate that the annotation claims; None trusts the file's.
        short_side: Scale the shorter side to this many pixels; None keeps the size.

    Returns:
        ``(len(indices), H, W, 3)`` uint8 RGB.

    Raises:
        VideoReadError: If the file is missing, unreadable, shorter than asked for, or of another
            frame rate than ``fps`` by more than 1 %.
    """
    indices = np.asarray(indices, dtype=np.int64)
    if not len(indices) or indices[0] < 0 or (np.diff(indices) < 0).any():
        raise ValueError(f'indices must be ascending, >= 0 and at least one, got {indices}')
    for start in _starting_points(int(indices[0])):
        with _open(path) as container:
            frames = _decode(container, path, indices, start, fps, short_side)
        if frames is not None:
            break
    return frames


def _starting_points(first: int) -> list[int | None]:
    """Frames to seek to, in order of trial; None, the beginning, always works.

    A seek may land behind the frame asked for, because containers seek by the time of decoding.
    """
    return [first - back for back in (0, 16, 128) if first - back > 0] + [None]


def _open(path: str | Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise VideoReadError(f'video {path} does not exist; check `data_root`') from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoReadError(
            f'video {path} cannot be read ({error}); download or extract it again'
        ) from error
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None:
        container.close()
        raise VideoReadError(
            f'video {path} has no video stream that can be decoded; download or extract it again'
        )
    return container


def _frame_rate(stream: av.VideoStream, fps: float | None, path: str | Path) -> float:
    """The rate that frame indices count in: the annotation's, where it agrees with the file's."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if not rate and fps is None:
        raise VideoReadError(
            f'video {path} does not say its frame rate; add "fps" to its annotation'
        )
    if fps is not None and rate and abs(rate - fps) > 0.01 * fps:
        raise VideoReadError(
            f'video {path} has {rate:.3f} frames per second, its annotation says "fps": '
            f'{fps}; correct the annotation or re-encode the video'
        )
    return float(fps if fps is not None else rate)


def _check_complete(path: str | Path, last: int, last_seen: int) -> None:
    if last_seen < 0:
        raise VideoReadError(f'video {path} has no decodable frame; download or extract it again')
    if last - last_seen > max(_MISSING_FRAMES, _MISSING_SHARE * last):
        raise VideoReadError(
            f'video {path} is truncated: frame {last} was asked for, the last one is {last_seen}; '
            'download or extract it again, or correct "duration" and "frame" in its annotation'
        )


def _decode(
    container: av.container.InputContainer,
    path: str | Path,
    indices: np.ndarray,
    start: int | None,
    fps: float | None,
    short_side: int | None,
) -> np.ndarray | None:
    """Frames ``indices``, decoded from frame ``start`` on; None where that start is too late."""
    stream = container.streams.video[0]
    stream.thread_count = 1  # Data loader workers are the parallelism; threads decode too far.
    rate = _frame_rate(stream, fps, path)
    size = scaled_size(stream.codec_context.width, stream.codec_context.height, short_side)
    out = np.empty((len(indices), size[1], size[0], 3), dtype=np.uint8)
    scaler = av.video.reformatter.VideoReformatter()
    filled, last_seen = 0, -1
    try:
        for index, frame in _frames_from(container, start, rate):
            if start is not None and filled == 0 and last_seen < 0 and index > indices[0]:
                return None
            last_seen = max(last_seen, index)
            shown = int(np.searchsorted(indices, index, side='right'))
            if shown > filled:
                picture = scaler.reformat(frame, *size, 'rgb24', interpolation='AREA')
                out[filled:shown] = picture.to_ndarray()
                filled = shown
            if filled == len(indices):
                return out
    except av.error.FFmpegError as error:
        if start is not None:
            return None
        raise VideoReadError(
            f'video {path} breaks off after frame {last_seen} ({error}); download or extract it '
            'again'
        ) from error
    if start is not None and not filled:
        return None
    _check_complete(path, int(indices[-1]), last_seen)
    out[filled:] = scaler.reformat(frame, *size, 'rgb24', interpolation='AREA').to_ndarray()
    return out


def _frames_from(
    container: av.container.InputContainer, start: int | None, rate: float
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their indices, from the key frame at or before ``start`` on.

    After a seek, frames before the first key frame are left out: in open groups of pictures they
    refer to frames that were not decoded. Nothing is yielded where frames carry no time and can
    only be counted from the beginning.
    """
    stream = container.streams.video[0]
    begin = None
    if stream.start_time is not None and _EXACT_TIMES & set(container.format.name.split(',')):
        begin = float(stream.start_time * stream.time_base)
    elif start is not None:
        begin = next(container.decode(stream)).time
        if begin is None:
            return
    if start is not None:
        container.seek(round((begin + start / rate) / stream.time_base), stream=stream)
    index = None if start is not None else -1
    for frame in container.decode(stream):
        if index is None and not frame.key_frame:
            continue
        if frame.pts is not None:
            begin = frame.time if begin is None else begin
            index = round((frame.time - begin) * rate)
        elif index is None:
            return
        else:
            index += 1
        yield index, frame
