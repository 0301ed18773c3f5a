"""The pictures of a video file on the file's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from .resizing import scaled_size

_OWN_ZERO = {'mov', 'mp4', 'matroska', 'webm'}
"""Containers whose time line begins at 0, wherever their first picture or sound lies."""

_UNTIMED = {'avi'}
"""Containers that number pictures in decoding order: the first picture is at 0."""

_STATED_LENGTH = {*_OWN_ZERO, 'avi', 'flv', 'asf'}
"""Containers whose header says how long they last; others only let it be estimated."""

_TIMED = {*_STATED_LENGTH, 'mpegts'} - {'asf'}
"""Containers in which every picture has its time, so that a seek gives the right ones."""

_SHORTFALL = 0.1
_SHORTFALL_SHARE = 0.01
"""A whole file may end this many seconds, or this share of itself, before its header says."""

_REORDERING = 0.25
_LIVE = 10.0
"""A time line that begins at up to the first, in seconds, has the delay of reordered pictures and
no edit list to undo it; one that begins after the second is the clock of a live stream."""

_ROUNDED = 1e-3
"""Time stamps in units of up to these seconds are rounded, coarser ones count frames."""

_LONGEST_REPEAT = 1.0
"""Seconds that the last picture lasts at most, unless the file says more."""

_SHORTEST_LAST = 0.5
"""The header's end is wrong if it leaves the last picture less than this share of any other's."""


_FETCH = 'download or extract it again'
_RESCUE = f'{_FETCH}, or keep the part that is whole: ffmpeg -i BROKEN.mp4 WHOLE.mp4'


class VideoReadError(ValueError):
    """Frames or features cannot be read; the message names the file and how to fix it."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture and when it is shown.

    Attributes:
        begin: Seconds on the file's clock at which it appears.
        end: Seconds at which the next one takes its place, or the pictures end.
        frame: The picture as it is stored: neither turned upright nor scaled.
    """

    begin: float
    end: float
    frame: av.VideoFrame


class VideoStream:
    """The main video stream of a file, opened for one pass.

    The clock begins where players begin: at the container's zero in MP4, QuickTime and Matroska,
    at the first sample of picture or sound in containers without a zero of their own. Edit lists
    and rotation marks are obeyed; of several video streams the default one, else the first one
    that is no cover picture, is read.

    Args:
        path: The file, an address that FFmpeg knows, such as ``pipe:0`` or ``rtsp://...``, or an
            object with a method ``read(size)``.

    Raises:
        VideoReadError: If it is missing, unreadable, or has no video stream.
    """

    def __init__(self, path: str | Path | BinaryIO) -> None:
        self.path = path
        self.container = _open(path)
        try:
            self.stream = _main_stream(self.container, path)
        except VideoReadError:
            self.container.close()
            raise
        self.stream.thread_count = 1  # Worker processes are the parallelism.
        self._formats = set(self.container.format.name.split(','))
        self._zero = 0.0
        context = self.stream.codec_context
        self._stored_size = (context.width, context.height)

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def tolerance(self) -> float:
        """Seconds by which a picture may begin late because its time stamp was rounded."""
        tick = float(self.stream.time_base)
        return 1e-6 + (tick / 2 if tick <= _ROUNDED else 0.0)

    @property
    def rate(self) -> float:
        """Average pictures per second, as the file states it.

        Raises:
            VideoReadError: If it does not.
        """
        rate = self.stream.average_rate or self.stream.guessed_rate
        if not rate:
            raise VideoReadError(
                f'video {self.path} does not state its frame rate; re-encode it, for example to '
                'MP4'
            )
        return float(rate)

    def pictures(self, start: float | None = None) -> Iterator[Picture]:
        """Pictures in the order in which they are shown.

        Args:
            start: Seconds to seek to; the first picture may begin later all the same, because
                containers seek by the time of decoding. None starts with the first one.

        Yields:
            Nothing where ``start`` is given and the container does not time every picture.

        Raises:
            VideoReadError: If decoding breaks off.
        """
        before, gap, shortest = None, 0.0, float('inf')
        try:
            for begin, frame in self._timed(start):
                if before is not None:
                    begin = max(begin, before[0])
                    gap = begin - before[0]
                    shortest = min(shortest, gap or shortest)
                    yield Picture(before[0], begin, before[1])
                before = (begin, frame)
        except av.error.FFmpegError as error:
            shown = 'at its start' if before is None else f'after {before[0]:.2f} s'
            advice = _FETCH if before is None else _RESCUE
            if before is None and 'mp4' in self._formats and not self._can_seek():
                advice = (
                    'an MP4 file with its index at the end cannot be read as a stream: name it '
                    'without --stream once it is complete, or stream MPEG-TS, Matroska or '
                    'fragmented MP4'
                )
            raise VideoReadError(
                f'video {self.path} breaks off {shown} ({error}); {advice}'
            ) from error
        if before is not None:
            begin, frame = before
            stated = float(frame.duration * frame.time_base) if frame.duration else 0.0
            lasting = max(stated, min(gap, _LONGEST_REPEAT)) or 1 / self.rate
            left = self._promised_end() - begin
            if _SHORTEST_LAST * shortest <= left < lasting - self.tolerance:
                lasting = max(stated, left)
            yield Picture(begin, begin + lasting, frame)

    def _can_seek(self) -> bool:
        return not str(self.path).startswith('pipe:') and (
            not hasattr(self.path, 'read') or hasattr(self.path, 'seek')
        )

    def size(self, frame: av.VideoFrame, short_side: int | None, multiple: int = 1) -> tuple:
        """Width and height to which every picture is scaled: upright, the same for all.

        Args:
            frame: Any picture; it tells which way is up.
            short_side: Pixels of the shorter side; None keeps the size that the file states.
            multiple: Round the sides to multiples of this (2 for h264).
        """
        width, height = (
            self._stored_size if all(self._stored_size) else (frame.width, frame.height)
        )
        if _orientation(frame)[0]:
            width, height = height, width
        width, height = scaled_size(width, height, short_side)
        return tuple(max(1, round(side / multiple)) * multiple for side in (width, height))

    def check_whole(self, end: float) -> None:
        """Compare the end of the pictures with what the header promises.

        Raises:
            VideoReadError: If the file is truncated.
        """
        if not _STATED_LENGTH & self._formats:
            return
        promised = self._promised_end()
        if self.stream.duration is None:
            end = max(end, self._last_packet())
        if promised - end > max(_SHORTFALL, _SHORTFALL_SHARE * promised):
            raise VideoReadError(
                f'video {self.path} is truncated: it breaks off at {end:.2f} s of {promised:.2f} '
                f's; {_RESCUE}'
            )

    def _promised_end(self) -> float:
        """Seconds at which the header ends the pictures; with the sound where it does not tell."""
        stream, length = self.stream, self.stream.duration
        if length is None:
            return self.file_end
        if _UNTIMED & self._formats:  # FFmpeg shortens the length of a cut file, not the number
            length = max(length, stream.frames)
        end = float((length + (stream.start_time or 0)) * stream.time_base)
        return end - self._zero

    @property
    def stated_duration(self) -> float | None:
        """Seconds that the header promises, sound aside where it tells; None if nothing does."""
        stream = self.stream
        if stream.duration is not None:
            end = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
            return max(end - (self._stated_zero() or 0.0), 0.0) or None
        return (self.container.duration or 0) / av.time_base or None

    @property
    def picture_duration(self) -> float | None:
        """Seconds that the header promises of the pictures; None if other streams may count too.

        The length of a container, such as Matroska, is that of its longest stream.
        """
        alone = self.stream.duration is not None or len(self.container.streams) == 1
        return self.stated_duration if alone else None

    @property
    def file_end(self) -> float:
        """Seconds at which the last stream of the file ends, sound included."""
        length = (self.container.duration or 0) / av.time_base
        if 'matroska' not in self._formats:  # Matroska's length counts from its zero.
            length += (self.container.start_time or 0) / av.time_base
        return length - self._zero

    def _last_packet(self) -> float:
        end = 0.0
        with _open(self.path) as container:
            try:
                for packet in container.demux():
                    if packet.pts is not None:
                        last = (packet.pts + (packet.duration or 0)) * packet.time_base
                        end = max(end, float(last))
            except av.error.FFmpegError:
                pass
        return end - self._zero

    def _stated_zero(self) -> float | None:
        """Where the clock begins in the file's time stamps; None if the first picture tells."""
        start = (self.container.start_time or 0) / av.time_base
        if not _OWN_ZERO & self._formats:
            return None
        return 0.0 if _REORDERING < start < _LIVE else start

    def _sound_start(self) -> float:
        """Time stamp of the first sound; infinity where there is none."""
        if _UNTIMED & self._formats:
            return float('inf')
        sounds = [s for s in self.container.streams.audio if s.start_time is not None]
        return min((float(s.start_time * s.time_base) for s in sounds), default=float('inf'))

    def _timed(self, start: float | None) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames and their times, from the key frame at or before ``start`` on.

        After a seek, frames before the first key frame are left out: in open groups of pictures
        they refer to frames that were not decoded.
        """
        zero = self._stated_zero()
        if start is not None:
            if not _TIMED & self._formats:
                return
            if zero is None:
                first = next(self.container.decode(self.stream)).time
                if first is None:
                    return
                zero = min(first, self._sound_start())
            target = round((zero + start) / self.stream.time_base)
            self.container.seek(target, stream=self.stream)
        keyed, time = start is None, -1 / self.rate
        for frame in self.container.decode(self.stream):
            keyed = keyed or frame.key_frame
            if not keyed:
                continue
            if frame.time is not None:
                zero = min(frame.time, self._sound_start()) if zero is None else zero
                time = frame.time - zero
            elif start is not None:
                return
            else:
                time += 1 / self.rate
            self._zero = zero or 0.0
            yield time, frame


class PictureConverter:
    """From decoded frames to upright RGB arrays of one size (width, height)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._scaler = av.video.reformatter.VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as ``(H, W, 3)`` uint8 RGB."""
        transposed, flip_x, flip_y = _orientation(frame)
        size = self.size[::-1] if transposed else self.size
        array = self._scaler.reformat(frame, *size, 'rgb24', interpolation='AREA').to_ndarray()
        if transposed:
            array = array.transpose(1, 0, 2)
        return array[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether to transpose a stored picture, then to flip x, then to flip y, to show it upright.

    The display matrix maps a stored place to the shown one, ``x' = a x + c y``,
    ``y' = b x + d y`` (ISO/IEC 14496-12, 6.2.2); angles in between count as the nearest quarter.
    """
    mark = frame.side_data.get('DISPLAYMATRIX')
    if mark is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(mark), dtype=np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _open(path: str | Path | BinaryIO) -> av.container.InputContainer:
    try:
        return av.open(path if hasattr(path, 'read') else str(path))
    except FileNotFoundError as error:
        raise VideoReadError(f'video {path} does not exist; check `data_root`') from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoReadError(
            f'video {path} cannot be read ({error}); download or extract it again'
        ) from error


def _main_stream(
    container: av.container.InputContainer, path: str | Path | BinaryIO
) -> av.VideoStream:
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        found = ', only a cover picture' if container.streams.video else ''
        raise VideoReadError(
            f'video {path} has no video stream{found}; name a file that has one, or download or '
            'extract it again'
        )
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    stream = (default or streams)[0]
    if stream.codec_context is None:
        raise VideoReadError(
            f'video {path}: its video stream cannot be decoded by this build of PyAV; re-encode '
            'it, for example to h264'
        )
    return stream
