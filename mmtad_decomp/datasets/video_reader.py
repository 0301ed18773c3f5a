"""Frames of video files: the one reader of training, preparing, flow and inference.

Frame ``k`` at a rate ``fps`` is the picture that a player shows at ``(k + 0.5) / fps`` seconds of
the file's own clock, upright, whole, and of one size for the whole video. Pixels are taken as
square, as OpenCV does: a sample aspect ratio in the file is ignored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .video_stream import Picture, PictureConverter, VideoReadError, VideoStream
from .windows import end_slack, num_sampled_frames

VIDEO_ENDINGS = (
    '.3gp', '.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts',
    '.mxf', '.ogv', '.ts', '.webm', '.wmv',
)  # fmt: skip
"""Names of files that are taken for videos where a folder is searched."""

_SEEK_BACK = (0.0, 0.64, 5.12)
"""Seconds before the first frame to seek to, in order of trial; then decode from the beginning."""

_OFF_RATE = 2
"""Pictures by which a video of a constant rate may have more or fewer than that rate gives."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file.

    Attributes:
        duration: Seconds on the file's clock at which the last picture ends.
        num_frames: Pictures shown; packets and headers may count others.
        fps: Pictures per second: the stated rate if the pictures keep it, else their mean over
            ``duration``.
        densest_fps: Rate at which every picture can be kept: ``fps``, or for a variable rate that
            of its closest pictures.
        width: Pixels, upright.
        height: Pixels, upright.
        times: ``(num_frames,)`` seconds on the file's clock at which the pictures appear.
    """

    duration: float
    num_frames: int
    fps: Fraction
    densest_fps: Fraction
    width: int
    height: int
    times: np.ndarray = field(repr=False, compare=False)


def read_frames(
    path: str | Path,
    indices: Sequence[int],
    fps: float | None = None,
    short_side: int | None = None,
) -> np.ndarray:
    """Decode chosen frames of a video file with PyAV.

    Frame ``k`` is the picture shown at ``(k + 0.5) / fps`` seconds, whatever decoding begins
    with: a seek is used only where it gives the frames that decoding from the beginning gives.
    Before the first picture the first is given, after the last one the last.

    Args:
        path: The video.
        indices: Ascending frame indices, at least one; repeats are allowed.
        fps: Rate that the indices count in, such as the sampled rate; None takes the file's.
        short_side: Scale the shorter side to this many pixels; None keeps the size.

    Returns:
        ``(len(indices), H, W, 3)`` uint8 RGB.

    Raises:
        VideoReadError: If the file is missing, unreadable or shorter than asked for.
    """
    times, fps = _times(path, indices, fps)
    starts = [times[0] - back for back in _SEEK_BACK if times[0] > back]
    for start in [*starts, None]:
        with VideoStream(path) as video:
            frames = _read(video, times, start, fps, short_side)
        if frames is not None:
            break
    return frames


def iterate_chosen_frames(
    path: str | Path,
    indices: Sequence[int],
    fps: float | None = None,
    short_side: int | None = None,
) -> Iterator[np.ndarray]:
    """The frames of :func:`read_frames` one by one, decoded from the beginning of the video.

    Args:
        path: See :func:`read_frames`.
        indices: See :func:`read_frames`.
        fps: See :func:`read_frames`.
        short_side: See :func:`read_frames`.

    Yields:
        ``(H, W, 3)`` uint8 RGB, ``len(indices)`` times.

    Raises:
        VideoReadError: If the file is missing, unreadable or shorter than asked for.
    """
    times, fps = _times(path, indices, fps)
    with VideoStream(path) as video:
        for frame, count in _shown(video, times, None, fps, short_side):
            yield from itertools.repeat(frame, count)


def _times(
    path: str | Path, indices: Sequence[int], fps: float | None
) -> tuple[np.ndarray, float]:
    """Seconds at which frames are shown, and the rate that their indices count in."""
    numbers = np.asarray(indices, dtype=np.int64)
    if not len(numbers) or numbers[0] < 0 or (np.diff(numbers) < 0).any():
        raise ValueError(f'indices must be ascending, >= 0 and at least one, got {numbers}')
    if fps is None:
        with VideoStream(path) as video:
            fps = video.rate
    return (numbers + 0.5) / fps, fps


class _TooLateError(Exception):
    """Decoding began behind the first picture that is asked for, or cannot tell."""


def _read(
    video: VideoStream, times: np.ndarray, start: float | None, fps: float, short_side: int | None
) -> np.ndarray | None:
    """Pictures shown at ``times``, decoded from ``start`` on; None where that is too late."""
    out, filled = np.empty(0, dtype=np.uint8), 0
    try:
        for frame, count in _shown(video, times, start, fps, short_side):
            if not filled:
                out = np.empty((len(times), *frame.shape), dtype=np.uint8)
            out[filled : filled + count] = frame
            filled += count
    except _TooLateError:
        return None
    return out


def _shown(
    video: VideoStream, times: np.ndarray, start: float | None, fps: float, short_side: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """Pictures shown at ``times``, decoded from ``start`` on, each with the number of its times.

    Raises:
        VideoReadError: If the video is unreadable or shorter than asked for.
        _TooLateError: If ``start`` is too late.
    """
    picture: Picture | None = None
    convert: PictureConverter | None = None
    filled = 0
    try:
        for picture in video.pictures(start):
            if convert is None:
                if start is not None and picture.begin > times[0] + video.tolerance:
                    raise _TooLateError
                convert = PictureConverter(video.size(picture.frame, short_side))
            shown = int(np.searchsorted(times, picture.end - video.tolerance))
            if shown > filled:
                yield convert(picture.frame), shown - filled
                filled = shown
            if filled == len(times):
                return
    except VideoReadError as error:
        if start is not None:
            raise _TooLateError from error
        raise
    if start is not None and not filled:
        raise _TooLateError
    last = _check_end(video, picture, float(times[-1]), fps)
    assert convert is not None
    yield convert(last.frame), len(times) - filled


def _check_end(video: VideoStream, last: Picture | None, time: float, fps: float) -> Picture:
    """The last picture; an error where a time lies behind it, unless the sound goes on.

    Raises:
        VideoReadError: If there is no picture, or none at that time.
    """
    if last is None:
        raise VideoReadError(
            f'video {video.path} has no decodable frame; download or extract it again'
        )
    slack = end_slack(time, fps)
    if time - last.end <= slack:
        return last
    video.check_whole(last.end)
    if time - video.file_end > slack:
        raise VideoReadError(
            f'video {video.path} ends at {last.end:.2f} s, a frame at {time:.2f} s was asked for; '
            'correct "duration" (and "frame") in its annotation, or `data_root` if this is '
            'another video'
        )
    return last


class SampledFrames:
    """All frames of a video at a constant rate, front to back, at least one.

    Iterate once; then :attr:`duration` is known.

    Args:
        path: The video.
        fps: Frames per second.
        short_side: Scale the shorter side to this many pixels; None keeps the size.
        multiple: Round the sides to multiples of this.
        live: The video is still being written or sent: its header promises nothing.
        cover: Repeat the last picture until the frames cover it to its end, as in windows of a
            data set.

    Attributes:
        duration: Seconds at which the last picture ends.
    """

    def __init__(
        self,
        path: str | Path | BinaryIO,
        fps: Fraction | float,
        short_side: int | None = None,
        multiple: int = 1,
        live: bool = False,
        cover: bool = False,
    ) -> None:
        self.path, self.fps = path, fps
        self.short_side, self.multiple = short_side, multiple
        self.live, self.cover = live, cover
        self.duration = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield ``(H, W, 3)`` uint8 RGB frames.

        Raises:
            VideoReadError: If the file is missing, unreadable or truncated.
        """
        count, picture = 0, None
        convert: PictureConverter | None = None
        with VideoStream(self.path) as video:
            for picture in video.pictures():
                if convert is None:
                    size = video.size(picture.frame, self.short_side, self.multiple)
                    convert = PictureConverter(size)
                array = None
                while float((count + Fraction(1, 2)) / self.fps) < picture.end - video.tolerance:
                    array = convert(picture.frame) if array is None else array
                    yield array
                    count += 1
            last = _check_end(video, picture, 0.0, float(self.fps))
            if not self.live:
                video.check_whole(last.end)
        assert convert is not None
        least = num_sampled_frames(last.end, float(self.fps)) if self.cover else 1
        for _ in range(least - count):
            yield convert(last.frame)
        self.duration = last.end


def iterate_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Every picture of a video once, whatever its time, ``(H, W, 3)`` uint8 RGB.

    Raises:
        VideoReadError: If the file is missing, unreadable or truncated.
    """
    picture: Picture | None = None
    convert: PictureConverter | None = None
    with VideoStream(path) as video:
        for picture in video.pictures():
            convert = convert or PictureConverter(video.size(picture.frame, None))
            yield convert(picture.frame)
        video.check_whole(_check_end(video, picture, 0.0, 1.0).end)


def probe_video(path: str | Path | BinaryIO) -> VideoInfo:
    """Decode a video from end to end and tell what it shows.

    Raises:
        VideoReadError: If the file is missing, unreadable or truncated.
    """
    times: list[float] = []
    picture: Picture | None = None
    with VideoStream(path) as video:
        for picture in video.pictures():
            if not times:
                size = video.size(picture.frame, None)
            times.append(picture.begin)
        end = _check_end(video, picture, 0.0, 1.0).end
        video.check_whole(end)
        stated = video.stream.average_rate or Fraction(0)
    mean = Fraction(len(times) / end).limit_denominator(1001)
    gaps = np.diff([*times, end])
    regular = stated > 0 and abs(len(times) - end * stated) <= _OFF_RATE
    if regular and np.abs(gaps - 1 / float(stated)).max() < 0.5 / float(stated):
        mean = densest = Fraction(stated)
    else:
        densest = max(mean, Fraction(round(1 / max(float(np.quantile(gaps, 0.05)), 1e-3))))
    width, height = size
    return VideoInfo(end, len(times), mean, densest, width, height, np.array(times))
