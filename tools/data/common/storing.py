"""Downloaded videos to frame folders or resized videos: parallel, resumable, atomic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from .files import atomic_folder, atomic_path, read_json, write_json
from .parallel import Failure, parallel_map
from .video import VideoInfo, probe_video, read_frames, resize_short_side, write_video

FRAME_NAME = 'img_{:05d}.jpg'


@dataclass(frozen=True)
class StoreSettings:
    """How videos are stored.

    Attributes:
        mode: ``'frames'`` (a folder of JPEGs per video) or ``'videos'`` (h264 mp4).
        fps: Frames per second to keep, as text such as ``'10'`` or ``'30000/1001'``; None keeps
            every frame.
        short_side: Pixels of the shorter side; None keeps the size.
        quality: JPEG quality, or h264 CRF.
    """

    mode: str
    fps: str | None
    short_side: int | None
    quality: int


@dataclass(frozen=True)
class StoredVideo:
    """A stored video.

    Attributes:
        path: Relative to the output folder.
        fps: Stored frames per second.
        frames: Stored frames.
        duration: Seconds of the source video.
    """

    path: str
    fps: float
    frames: int
    duration: float


@dataclass(frozen=True)
class _Task:
    source: Path
    out: Path
    video_id: str
    settings: StoreSettings

    @property
    def target(self) -> str:
        suffix = '' if self.settings.mode == 'frames' else '.mp4'
        return f'{self.settings.mode}/{self.video_id}{suffix}'

    @property
    def marker(self) -> Path:
        return self.out / '.done' / f'{self.video_id}.json'


def source_indices(num_frames: int, source_fps: Fraction, fps: Fraction) -> np.ndarray:
    """Source frame of every kept frame.

    Kept frame k covers [k, k + 1) / fps seconds and shows the source frame at its centre,
    ``floor((k + 0.5) * source_fps / fps)``, for as long as the source has such a frame.

    Returns:
        ``(K,)`` int64, not decreasing.
    """
    ratio = source_fps / fps
    numbers = np.arange(int(num_frames / ratio) + 2, dtype=object)
    indices = ((2 * numbers + 1) * ratio.numerator) // (2 * ratio.denominator)
    indices = indices.astype(np.int64)
    return indices[indices < num_frames]


def _kept_frames(task: _Task, info: VideoInfo, fps: Fraction) -> Iterator[np.ndarray]:
    wanted = source_indices(info.num_frames, info.fps, fps)
    position = 0
    for i, frame in enumerate(read_frames(task.source)):
        resized = None
        while position < len(wanted) and wanted[position] == i:
            if resized is None:
                resized = resize_short_side(frame, task.settings.short_side)
            yield resized
            position += 1


def _write_jpegs(folder: Path, frames: Iterator[np.ndarray], quality: int) -> int:
    count = 0
    for count, frame in enumerate(frames, start=1):
        path = folder / FRAME_NAME.format(count)
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality]):
            raise OSError(f'{path} could not be written; is the disk full?')
    return count


def _finished(task: _Task) -> StoredVideo | None:
    """The result of an earlier run with the same source and settings, if it is still there."""
    try:
        done = read_json(task.marker)
    except (FileNotFoundError, ValueError):
        return None
    same = done.get('settings') == asdict(task.settings) and done.get('source') == _stamp(task)
    if same and (task.out / task.target).exists():
        return StoredVideo(**done['stored'])
    return None


def _stamp(task: _Task) -> list:
    status = task.source.stat()
    return [task.source.name, status.st_size, status.st_mtime_ns]


def _store(task: _Task) -> StoredVideo:
    info = probe_video(task.source)
    finished = _finished(task)
    if finished is not None:
        return finished
    fps = info.fps if task.settings.fps is None else Fraction(task.settings.fps)
    frames = _kept_frames(task, info, fps)
    target = task.out / task.target
    if task.settings.mode == 'frames':
        with atomic_folder(target) as partial:
            count = _write_jpegs(partial, frames, task.settings.quality)
    else:
        with atomic_path(target) as partial:
            count = write_video(partial, frames, fps, task.settings.quality)
    stored = StoredVideo(task.target, float(fps), count, info.duration)
    write_json(
        task.marker,
        {'settings': asdict(task.settings), 'source': _stamp(task), 'stored': asdict(stored)},
    )
    return stored


def store_videos(
    sources: Mapping[str, Path], out: Path, settings: StoreSettings, workers: int
) -> tuple[dict[str, StoredVideo], list[Failure]]:
    """Store videos under ``out``; those that an earlier run finished are skipped.

    A video is written to a temporary name and renamed when it is whole, then marked in
    ``out/.done``. Other settings, or a source file that changed, store it again.

    Args:
        sources: Video files by id.
        out: Output folder.
        settings: How to store them.
        workers: Processes.

    Returns:
        Stored videos by id, and the failures.
    """
    tasks = {key: _Task(path, out, key, settings) for key, path in sources.items()}
    return parallel_map(_store, tasks, workers, settings.mode)
