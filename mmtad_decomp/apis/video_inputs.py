"""What a user names, as a list of videos."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from mmengine.logging import print_log

from mmtad_decomp.datasets.frame_source import list_images
from mmtad_decomp.datasets.video_reader import VIDEO_ENDINGS
from mmtad_decomp.utils import as_unicode

FEATURE_ENDINGS = ('.npy', '.npz')
STDIN = '-'


class InputError(ValueError):
    """An input, or an option for it, cannot be used; the message says why."""


@dataclass(frozen=True)
class VideoInput:
    """A video to look at.

    Attributes:
        path: File, folder of frames, or address.
        video_id: Its name in results; unique among the inputs, and valid Unicode.
        is_folder: Whether it is a folder of frames.
    """

    path: str
    video_id: str
    is_folder: bool = False


def find_videos(inputs: str | Path | Sequence[str | Path]) -> list[VideoInput]:
    """Expand files, folders and patterns.

    A folder that holds images and no video file is one video, a folder of frames. Any other folder
    stands for the video files and the folders of frames in it, hidden ones aside. Patterns such as
    ``videos/**/*.mp4`` are those of :func:`glob.glob`; folders without videos among their matches
    are left out, with a warning. What is named twice, also by another spelling, comes once.

    Args:
        inputs: One or several of them; ``-`` is the standard input, and addresses such as
            ``rtsp://...`` pass through.

    Raises:
        InputError: If a name is empty, or there is nothing under it.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    videos: dict[str, VideoInput] = {}
    for video in (video for item in inputs for video in _expand(str(item))):
        videos.setdefault(_place(video.path), video)
    return _with_unique_ids([*videos.values()])


def _place(path: str) -> str:
    """The same for all spellings of a file or folder.

    Links of their own names, such as two to one file, are videos of their own.
    """
    if not os.path.exists(path):  # an address
        return path
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def _expand(item: str) -> list[VideoInput]:
    if not item:  # which a path takes for the working directory
        raise InputError(
            'an input is an empty name, such as that of an unset variable; name a video'
        )
    if item == STDIN:
        return [VideoInput('pipe:0', 'stdin')]
    if '://' in item:
        return [VideoInput(item, Path(item).stem)]
    path = Path(item)
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [VideoInput(item, path.stem)]
    if not glob.has_magic(item):
        raise InputError(f'input {item} does not exist; name video files, folders or patterns')
    return _matching(item)


def _matching(pattern: str) -> list[VideoInput]:
    """Videos that match a pattern, and those in folders that match it."""
    videos: list[VideoInput] = []
    empty: list[InputError] = []
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = Path(match)
        try:
            videos += _in_folder(path) if path.is_dir() else [VideoInput(match, path.stem)]
        except InputError as error:
            empty.append(error)
    if not videos and not empty:
        raise InputError(f'input {pattern} matches no file; name video files, folders or patterns')
    if not videos:
        raise empty[0]
    if empty:
        more = f' (and {len(empty) - 1} more folders)' if len(empty) > 1 else ''
        message = f'{pattern}: left out{more}: {empty[0]}'
        print_log(message, logger='current', level=logging.WARNING)
    return videos


def _seen(folder: Path) -> list[Path]:
    """What is in a folder, hidden files aside, such as the ``._clip.mp4`` of macOS."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith('.')]


def _video_files(folder: Path) -> list[Path]:
    return [
        entry
        for entry in _seen(folder)
        if entry.suffix.lower() in VIDEO_ENDINGS and entry.is_file()
    ]


def _holds_frames(folder: Path) -> bool:
    """Whether it is a folder of frames; beside videos, images are their posters or time lines."""
    return bool(list_images(folder)) and not _video_files(folder)


def _in_folder(folder: Path) -> list[VideoInput]:
    if _holds_frames(folder):
        return [VideoInput(str(folder), folder.resolve().name, is_folder=True)]
    videos = [VideoInput(str(file), file.stem) for file in _video_files(folder)]
    for entry in _seen(folder):
        if entry.is_dir() and _holds_frames(entry):
            videos.append(VideoInput(str(entry), entry.name, is_folder=True))
    if not videos:
        raise InputError(
            f'folder {folder} has neither videos ({", ".join(VIDEO_ENDINGS)}) nor folders of '
            'frames; name another one, or a pattern such as folder/**/*.mp4'
        )
    return sorted(videos, key=lambda video: Path(video.path))


def _with_unique_ids(videos: list[VideoInput]) -> list[VideoInput]:
    """Videos of the same name take their folder's name, then their whole path, into theirs.

    Where names are still the same, such as those of ``a/x.mp4`` and ``a_x.mp4``, all but the first
    get a number.
    """
    videos = [replace(video, video_id=as_unicode(video.video_id)) for video in videos]
    for lengthen in (
        lambda p: f'{p.parent.name}_{p.stem}',
        lambda p: '_'.join(p.relative_to(p.anchor).parts),
    ):
        counts = Counter(video.video_id for video in videos)
        videos = [
            replace(video, video_id=lengthen(Path(as_unicode(video.path))))
            if counts[video.video_id] > 1
            else video
            for video in videos
        ]
    names: dict[str, VideoInput] = {}
    others = {video.video_id for video in videos}
    for video in videos:
        name, numbers = video.video_id, count(2)
        while name in names or (name in others and name != video.video_id):
            name = f'{video.video_id}_{next(numbers)}'
        names[name] = replace(video, video_id=name)
    return [*names.values()]
