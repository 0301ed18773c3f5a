"""Downloaded videos to frame folders or resized videos: parallel, resumable, atomic."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .files import atomic_folder, atomic_path, read_json, write_json
from .parallel import Failure, parallel_map
from .video import write_video

FRAME_NAME = 'img_{:05d}.jpg'

_FORMAT = 2
"""Part of the marker; raise it when equal settings are to give other pixels."""


@dataclass(frozen=True)
class StoreSettings:
    """How videos are stored.

    Attributes:
        mode: ``'frames'`` (a folder of JPEGs per video) or ``'videos'`` (h264 mp4).
        fps: Frames per second to keep, as text such as ``'10'`` or ``'30000/1001'``; None keeps
            every frame; a variable rate becomes that of the closest frames.
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
        duration: Seconds at which the source's last picture ends.
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


def _write_jpegs(folder: Path, frames: Iterable[np.ndarray], quality: int) -> int:
    import cv2

    count = 0
    for count, frame in enumerate(frames, start=1):
        path = folder / FRAME_NAME.format(count)
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        # imwrite would not say why it could not write.
        _, content = cv2.imencode(path.suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        path.write_bytes(content)
    return count


def _made(marker: Path) -> set[str]:
    """Paths, relative to the output folder, that earlier runs stored a video at, in any mode."""
    try:
        done = read_json(marker)
    except (FileNotFoundError, ValueError):
        return set()
    return {*done.get('made', ()), (done.get('stored') or {}).get('path')} - {None}


def _finished(task: _Task) -> StoredVideo | None:
    """The result of an earlier run with the same source and settings, if it is still there."""
    try:
        done = read_json(task.marker)
    except (FileNotFoundError, ValueError):
        return None
    if _marks(task).items() <= done.items() and (task.out / task.target).exists():
        return StoredVideo(**done['stored'])
    return None


def _marks(task: _Task) -> dict:
    """Settings that a stored video depends on."""
    status = task.source.stat()
    source = [task.source.name, status.st_size, status.st_mtime_ns]
    return {'format': _FORMAT, 'settings': asdict(task.settings), 'source': source}


def _store(task: _Task) -> StoredVideo:
    from mmtad_decomp.datasets import SampledFrames, probe_video

    finished = _finished(task)
    if finished is not None:
        return finished
    settings = task.settings
    fps = Fraction(settings.fps) if settings.fps else probe_video(task.source).densest_fps
    multiple = 1 if settings.mode == 'frames' else 2  # h264 needs even sides.
    frames = SampledFrames(task.source, fps, settings.short_side, multiple)
    target = task.out / task.target
    atomic = atomic_folder if settings.mode == 'frames' else atomic_path
    with atomic(target) as partial:
        if settings.mode == 'frames':
            count = _write_jpegs(partial, frames, settings.quality)
        else:
            count = write_video(partial, frames, fps, settings.quality)
        stored = StoredVideo(task.target, float(fps), count, frames.duration)
        # Killed at any point, a run leaves no target without a marker, nor an older one with it.
        _remove(target)
        made = sorted(_made(task.marker) | {task.target})
        write_json(task.marker, {**_marks(task), 'stored': asdict(stored), 'made': made})
    return stored


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def was_stored(path: Path, out: Path) -> bool:
    """Whether :func:`store_videos` made this file of ``out / 'videos'``."""
    return f'videos/{path.name}' in _made(out / '.done' / f'{path.stem}.json')


def _check_targets(tasks: Iterable[_Task]) -> None:
    """Refuse to replace what is there, unless an earlier run made it."""
    sources = {path for task in tasks for path in (task.source.resolve(), _place(task.source))}
    for task in tasks:
        target = task.out / task.target
        if _place(target) in sources:
            raise ValueError(
                f'{target} is one of the downloaded videos and would be replaced by a resized '
                'one; name another --out'
            )
        if os.path.lexists(target) and task.target not in _made(task.marker):
            raise ValueError(
                f'{target} would be replaced, but no run of this command made it; move it away, '
                'or name another --out'
            )


def _place(path: Path) -> Path:
    """The path without links to folders; a link to a file stays."""
    return path.parent.resolve() / path.name


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

    Raises:
        ValueError: If a stored video would replace a source, or anything that no run made.
    """
    tasks = {key: _Task(path, out, key, settings) for key, path in sources.items()}
    _check_targets(tasks.values())
    return parallel_map(_store, tasks, workers, settings.mode)
