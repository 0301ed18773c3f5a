"""Files that inference writes; none of them may be what it reads."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmtad_decomp.utils import demand_writable, path_below

from .exports import export_files
from .video_inputs import InputError, VideoInput

DRAWN = PICTURE, ANNOTATED = '.png', '.mp4'
"""Endings of the files that are drawn of each video: its time line and its annotated copy."""


def drawn_file(folder: str | Path, video: VideoInput, ending: str) -> Path:
    """Picture or annotated video of a video."""
    return path_below(folder, f'{video.video_id}{ending}')


def output_files(
    folder: str | Path,
    videos: Sequence[VideoInput],
    formats: Sequence[str] = (),
    drawn: Sequence[str] = (),
) -> list[Path]:
    """All files that an inference writes into a folder.

    Args:
        folder: Where they go.
        videos: The videos.
        formats: Names in :data:`~mmtad_decomp.apis.exports.FORMATS`.
        drawn: :data:`PICTURE` and :data:`ANNOTATED`, or one of them.
    """
    pictures = [drawn_file(folder, video, ending) for ending in drawn for video in videos]
    return export_files(folder, videos, formats) + pictures


def demand_inputs_kept(videos: Iterable[VideoInput], files: Iterable[Path]) -> None:
    """Check that files can be written without changing a video.

    Args:
        videos: What is read.
        files: What is to be written.

    Raises:
        InputError: If a file is one of the videos, under whatever name, a drawn one would lie
            among the frames of a video, a name is too long, or there is a folder of that name.
    """
    paths = {_identity(video.path): video.path for video in videos}
    paths.pop(None, None)  # addresses
    for file in files:
        _demand_possible_name(file)
        if path := paths.get(_identity(file)):
            raise InputError(
                f'{file} would overwrite the input {path}; name another folder for the output'
            )
        if file.suffix in DRAWN and (path := paths.get(_identity(file.parent))):
            raise InputError(
                f'{file} would lie among the frames of the input {path}; name another folder for '
                'the output'
            )


def demand_files_writable(files: Iterable[Path], option: str) -> None:
    """Check that files can be written later, by trying one in each folder; nothing is left.

    Args:
        files: What is to be written.
        option: Flag or argument that names their place, for the message.

    Raises:
        OutputPathError: If one cannot be written.
    """
    for file in {file.parent: file for file in files}.values():
        demand_writable(file, option)


def _demand_possible_name(file: Path) -> None:
    """Check that a name is free for a file, and short: videos' ids may hold folders' names."""
    try:
        if stat.S_ISDIR(os.stat(file).st_mode):
            raise InputError(f'{file} is a folder; name another place for the output')
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(
                f'{file} cannot be written, its name is too long; give the video a shorter one'
            ) from None


def _identity(path: str | Path) -> tuple[int, int] | None:
    """The same for all names of a file or folder; None if there is none."""
    try:
        state = os.stat(str(path).removeprefix('file:'))  # as FFmpeg reads such addresses
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino
