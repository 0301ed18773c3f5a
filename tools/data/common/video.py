"""Reading, probing, resizing and writing videos with PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

# Containers count frames a little differently from decoders; beyond this share a file is cut.
_MISSING_SHARE = 0.01
_MISSING_FRAMES = 2


class VideoError(ValueError):
    """A video is missing, unreadable or truncated; the message names the file."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        fps: Average frames per second, exact.
        num_frames: Frames in the file (packets counted, not the header's claim).
        width: Pixels.
        height: Pixels.
    """

    fps: Fraction
    num_frames: int
    width: int
    height: int

    @property
    def duration(self) -> float:
        """Length in seconds: ``num_frames / fps``."""
        return float(self.num_frames / self.fps)


def _open(path: str | Path) -> av.container.InputContainer:
    if not Path(path).is_file():
        raise VideoError(f'{path}: no such video file')
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f'{path}: cannot be opened ({error}); fetch or copy it again') from error
    if not container.streams.video:
        container.close()
        raise VideoError(f'{path}: holds no video stream')
    return container


def _promised_frames(container: av.container.InputContainer, fps: Fraction) -> int:
    stream = container.streams.video[0]
    if stream.frames:
        return stream.frames
    if stream.duration is not None:
        return int(stream.duration * stream.time_base * fps)
    return 0


def _check_complete(path: str | Path, found: int, promised: int) -> None:
    if found == 0:
        raise VideoError(f'{path}: no frame could be decoded; fetch or copy it again')
    if promised - found > max(_MISSING_FRAMES, _MISSING_SHARE * promised):
        raise VideoError(
            f'{path}: truncated, {found} of {promised} frames are there; fetch or copy it again'
        )


def probe_video(path: str | Path) -> VideoInfo:
    """Read size, rate and number of frames from a file without decoding all of it.

    Counts the packets, decodes the first frame, and compares the count with the header.

    Raises:
        VideoError: If the file is missing, has no decodable video, or is truncated.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        fps = stream.average_rate or stream.guessed_rate
        if not fps:
            raise VideoError(f'{path}: the file states no frame rate; re-encode it')
        promised = _promised_frames(container, fps)
        try:
            count = sum(1 for packet in container.demux(stream) if packet.size)
            container.seek(0)
            first = next(container.decode(stream), None)
        except av.error.FFmpegError as error:
            raise VideoError(f'{path}: cannot be decoded ({error})') from error
        if first is None:
            count = 0
        _check_complete(path, count, promised)
        return VideoInfo(Fraction(fps), count, first.width, first.height)


def read_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Decode a video front to back.

    Yields:
        ``(H, W, 3)`` uint8 RGB frames.

    Raises:
        VideoError: If the file cannot be opened, breaks off, or is shorter than its header says.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = 'AUTO'
        promised = _promised_frames(container, stream.average_rate or stream.guessed_rate or 0)
        found = 0
        try:
            for frame in container.decode(stream):
                found += 1
                yield frame.to_ndarray(format='rgb24')
        except av.error.FFmpegError as error:
            raise VideoError(
                f'{path}: decoding failed after {found} frames ({error}); fetch or copy it again'
            ) from error
        _check_complete(path, found, promised)


def resize_short_side(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    """Scale an ``(H, W, 3)`` frame so that its shorter side has ``short_side`` pixels.

    Sides are rounded to even numbers, which h264 needs. None returns the frame unchanged.
    """
    if short_side is None:
        return frame
    height, width = frame.shape[:2]
    scale = short_side / min(height, width)
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in (width, height))
    if size == (width, height):
        return frame
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=method)


def _write_av(path: Path, frames: Iterable[np.ndarray], fps: Fraction, crf: int) -> int:
    count = 0
    # x264's macroblock tree reads memory it has not set at small sizes: equal frames then give
    # files that differ from run to run.
    options = {'crf': str(crf), 'preset': 'veryfast', 'x264-params': 'threads=1:mbtree=0'}
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps, options=options)
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        for frame in frames:
            if count == 0:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
            container.mux(stream.encode(picture))
            count += 1
        if count:
            container.mux(stream.encode(None))
    return count


def _write_cv2(path: Path, frames: Iterable[np.ndarray], fps: Fraction) -> int:
    writer, count = None, 0
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), float(fps), size)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        count += 1
    if writer is not None:
        writer.release()
    return count


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: Fraction | float, crf: int = 20
) -> int:
    """Encode frames to ``path`` with one thread, so equal frames give equal bytes.

    Writes h264 where PyAV was built with libx264, MPEG-4 through OpenCV elsewhere. ``path`` is
    written in place: wrap the call in :func:`~tools.data.common.atomic_path`.

    Args:
        path: File to write; its suffix chooses the container.
        frames: ``(H, W, 3)`` uint8 RGB frames, all of one size with even sides.
        fps: Frames per second.
        crf: h264 quality; lower is better and larger.

    Returns:
        Number of frames written.
    """
    rate = Fraction(fps).limit_denominator(1001)
    if 'libx264' in av.codec.codecs_available:
        count = _write_av(Path(path), frames, rate, crf)
    else:
        count = _write_cv2(Path(path), frames, rate)
    if count == 0:
        raise VideoError(f'{path}: there are no frames to write')
    return count
