"""The command that data sets share whose videos need no conversion: check, link, write labels."""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .annotations import (
    census_table,
    make_video_entry,
    read_database,
    refuse_other_annotations,
    write_annotations,
)
from .files import atomic_path
from .parallel import Failure, add_workers, parallel_map, print_failures

if TYPE_CHECKING:
    from mmtad_decomp.datasets import VideoInfo

# A file whose length differs by more than this many seconds is not the annotated video.
_LENGTH_TOLERANCE = 0.5


def add_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the arguments that :func:`prepare` reads."""
    parser.add_argument('source', type=Path, metavar='SRC', help='annotations.json and videos/')
    parser.add_argument('--out', type=Path, default=Path(out), help='output folder')
    parser.add_argument('--copy', action='store_true', help='copy the videos, do not link them')
    add_workers(parser)


def read_videos(source: Path) -> dict[str, dict]:
    """The ``database`` of ``source/annotations.json``."""
    return read_database(source / 'annotations.json', ('subset', 'duration', 'annotations'))


def _check_length(task: tuple[Path, float]) -> VideoInfo:
    from mmtad_decomp.datasets import VideoReadError, probe_video

    path, duration = task
    info = probe_video(path)
    if abs(info.duration - duration) > _LENGTH_TOLERANCE:
        raise VideoReadError(
            f'{path}: lasts {info.duration:.2f} s, but the annotation says {duration:.2f} s; '
            'it is another video, or cut'
        )
    return info


def _select_instances(
    video_id: str, video: dict, classes: Sequence[str], ignored: Sequence[str], source: Path
) -> list[dict]:
    instances = []
    for i, item in enumerate(video['annotations']):
        if item['label'] in classes:
            instances.append(item)
        elif item['label'] not in ignored:
            raise ValueError(
                f'{source}: video "{video_id}", annotations[{i}]: label "{item["label"]}" is '
                f'neither one of the classes {tuple(classes)} nor of the ignored labels '
                f'{tuple(ignored)}'
            )
    return instances


def check_folder(source: Path, out: Path) -> None:
    """Refuse to write into the folder that is read.

    Raises:
        ValueError: If ``out`` is ``source``.
    """
    if source.resolve() == out.resolve():
        raise ValueError(f'{out} is {source}, whose files would be replaced; name another --out')


def check_places(videos: Mapping[Path, Path]) -> None:
    """Check that :func:`place_video` replaces no other video, before it places the first one.

    Args:
        videos: Source of each target.

    Raises:
        ValueError: If a target is there already, with other content than its source.
    """
    for target, source in videos.items():
        if _is_placed(target) and not filecmp.cmp(source, target):
            raise ValueError(
                f'{target} is another video than {source} and would be replaced; move it away, '
                'or name another --out'
            )


def _is_placed(target: Path) -> bool:
    """Whether ``target`` is a video itself, no link to one."""
    return target.is_file() and not target.is_symlink()


def place_video(source: Path, target: Path, copy: bool) -> None:
    """Link ``target`` to a video, or copy it there; a file that is there already stays."""
    if _is_placed(target):
        return
    with atomic_path(target) as partial:
        if copy:
            shutil.copyfile(source, partial)
        else:
            partial.unlink(missing_ok=True)
            os.symlink(source.resolve(), partial)


def _report_clock(database: Mapping[str, dict], infos: Mapping[str, VideoInfo]) -> None:
    differing = [
        key
        for key, info in infos.items()
        if float(info.fps) != database[key].get('fps')
        or info.num_frames != database[key].get('frame')
    ]
    if differing:
        key = differing[0]
        stated, info = database[key], infos[key]
        print(
            f"{len(differing)} of {len(infos)} videos have another clock than their annotation's "
            f'"fps" and "frame", e.g. {key}: {stated.get("fps")} fps and {stated.get("frame")} '
            f'frames stated, {float(info.fps)} fps and {info.num_frames} frames in the file. The '
            "files' are written; times stay in seconds."
        )


def prepare(
    args: argparse.Namespace,
    videos: Mapping[str, dict],
    version: str,
    classes: Sequence[str],
    ignored: Sequence[str],
) -> int:
    """Check the videos of SRC, link or copy them, and write annotations and a census.

    Args:
        args: Options that :func:`add_arguments` added.
        videos: Entries of the source's ``database`` to keep.
        version: ``version`` of the written annotations.
        classes: Labels to keep, in the order of the classes.
        ignored: Labels to leave out; any other label is an error.

    Returns:
        Exit code: 0, or 1 if a video failed (nothing is written then).

    Raises:
        ValueError: If a label is unknown, or a file of SRC, another video or annotations of the
            user would be replaced.
    """
    source, out = args.source, args.out
    check_folder(source, out)
    refuse_other_annotations(out / 'annotations.json', version)
    paths = {key: source / 'videos' / f'{key}.mp4' for key in videos}
    instances = {
        key: _select_instances(key, video, classes, ignored, source / 'annotations.json')
        for key, video in videos.items()
    }
    failures = [
        Failure(key, f'{path} does not exist; SRC must hold all videos of its annotations')
        for key, path in paths.items()
        if not path.is_file()
    ]
    if failures:
        return print_failures(failures, anything_done=False)
    places = {out / 'videos' / f'{key}.mp4': path for key, path in paths.items()}
    check_places(places)
    tasks = {key: (paths[key], float(video['duration'])) for key, video in videos.items()}
    infos, failures = parallel_map(_check_length, tasks, args.workers, 'check')
    if failures:
        return print_failures(failures, anything_done=False)
    database = {
        key: make_video_entry(
            video['subset'],
            infos[key].duration,
            float(infos[key].fps),
            infos[key].num_frames,
            f'videos/{key}.mp4',
            instances[key],
        )
        for key, video in videos.items()
    }
    for target, path in places.items():
        place_video(path, target, args.copy)
    write_annotations(out / 'annotations.json', version, classes, database)
    _report_clock(videos, infos)
    print(census_table(database, classes))
    print(f'written to {out}')
    return 0
