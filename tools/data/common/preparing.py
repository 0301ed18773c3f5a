"""The command that data sets of downloaded videos share."""

from __future__ import annotations

import argparse
import filecmp
import os
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from .annotations import (
    census_table,
    make_video_entry,
    refuse_other_annotations,
    write_annotations,
)
from .files import refuse_to_replace
from .parallel import Failure, parse_shard, print_failures, share
from .storing import StoredVideo, StoreSettings, store_videos, was_stored

# A file whose length differs by more seconds than this may not be the annotated video.
_LENGTH_TOLERANCE = 1.0


@dataclass
class VideoRecord:
    """Original annotations of a video.

    Attributes:
        subset: ``'training'``, ``'validation'`` or ``'testing'``.
        duration: Seconds; None where the annotations do not say.
        fps: Frames per second, where stated.
        frames: Frames, where stated.
        annotations: Objects with ``segment`` ([start, end], seconds) and ``label``.
    """

    subset: str
    duration: float | None = None
    fps: float | None = None
    frames: int | None = None
    annotations: list[dict] = field(default_factory=list)


def _positive_fraction(text: str) -> str:
    try:
        valid = Fraction(text) > 0
    except (ValueError, ZeroDivisionError):
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(
            f'{text!r} must be a number > 0, such as 10 or 30000/1001'
        )
    return text


def add_arguments(parser: argparse.ArgumentParser, out: str, fps: str, short_side: int) -> None:
    """Add the arguments that :func:`prepare` reads, with a data set's defaults."""
    parser.add_argument('--videos', type=Path, help='folder of the downloaded videos, searched')
    parser.add_argument('--out', type=Path, default=Path(out), help='output folder')
    parser.add_argument(
        '--mode', choices=('frames', 'videos'), default='frames', help='what to store'
    )
    parser.add_argument(
        '--fps', type=_positive_fraction, default=fps, help='frames per second to store'
    )
    parser.add_argument(
        '--keep-fps', action='store_true', help='keep the rate of each file, ignore --fps'
    )
    parser.add_argument('--short-side', type=int, default=short_side, help='pixels; 0 keeps all')
    parser.add_argument('--quality', type=int, help='JPEG quality (95) or h264 CRF (20)')
    parser.add_argument('--workers', type=int, default=4, help='processes')
    parser.add_argument(
        '--shard',
        default='1/1',
        help='store part i of n (i/n) of the videos, for machines side by side; once all parts '
        'are there, the command without it writes the annotations',
    )
    parser.add_argument(
        '--annotations-only', action='store_true', help='convert annotations, touch no video'
    )
    parser.add_argument(
        '--allow-missing',
        action='store_true',
        help='write the annotations of the videos that worked, even if others failed',
    )


def _settings(args: argparse.Namespace) -> StoreSettings:
    quality = args.quality or (95 if args.mode == 'frames' else 20)
    fps = None if args.keep_fps else args.fps
    return StoreSettings(args.mode, fps, args.short_side or None, quality)


def _originals(files: Iterable[Path], out: Path) -> list[Path]:
    """Files of one name without links to others, and without what an earlier run wrote."""
    unique = {}
    for path in files:
        if path.resolve() not in unique or not path.is_symlink():
            unique[path.resolve()] = path
    target = (out / 'videos').resolve()
    placed = [path for path in unique.values() if path.parent.resolve() == target]
    others = [path for path in unique.values() if path not in placed]
    return others + [
        path
        for path in placed
        if not (others and was_stored(path, out))
        and not any(filecmp.cmp(path, other) for other in others)
    ]


def _files_under(folder: Path) -> Iterator[Path]:
    """Files anywhere under a folder, also through links to folders.

    A folder that can be reached in several ways is read once, without a link if possible, so links
    that lead back to where they are do no harm.
    """
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        links: list[Path] = []
        for start in waiting:
            for root, folders, files in os.walk(start):  # names links among the folders
                if os.path.realpath(root) in seen:
                    folders.clear()
                    continue
                seen.add(os.path.realpath(root))
                paths = [Path(root, name) for name in folders]
                links += [path for path in paths if path.is_symlink()]
                yield from (Path(root, name) for name in files)
        waiting = links


def find_videos(
    folder: Path, video_ids: Iterable[str], out: Path, file_stem: Callable[[str], str] = str
) -> tuple[dict[str, Path], list[Failure]]:
    """Look for one file per video anywhere under ``folder``, also through links to folders.

    Accented letters of names may be written as one character or, as on macOS, as two (NFC, NFD).

    Args:
        folder: Folder to search.
        video_ids: Ids wanted.
        out: Output folder; links and copies that an earlier run put there do not count.
        file_stem: From an id to the file's name without its suffix.

    Returns:
        Files by id, and as failures the ids without one, or with several of one name.
    """
    from mmtad_decomp.datasets import VIDEO_ENDINGS

    if not folder.is_dir():
        raise FileNotFoundError(f'--videos {folder} is not a folder')
    files = defaultdict(list)
    for path in sorted(_files_under(folder)):
        if path.suffix.lower() in VIDEO_ENDINGS and path.is_file():
            files[unicodedata.normalize('NFC', path.stem)].append(path)
    found, failures = {}, []
    for video_id in video_ids:
        stem = file_stem(video_id)
        originals = _originals(files[unicodedata.normalize('NFC', stem)], out)
        if len(originals) == 1:
            found[video_id] = originals[0]
        elif originals:
            names = ', '.join(map(str, sorted(originals)))
            reason = f'{len(originals)} files are called {stem}: {names}; keep the right one'
            failures.append(Failure(video_id, reason))
        else:
            failures.append(Failure(video_id, f'no video file {stem}.* under {folder}'))
    return found, failures


def _from_records(records: Mapping[str, VideoRecord]) -> dict[str, dict]:
    database = {}
    for video_id, record in records.items():
        if record.duration is None:
            raise ValueError(
                f'video "{video_id}": these annotations state no duration; give --videos instead '
                'of --annotations-only'
            )
        entry = {
            'subset': record.subset,
            'duration': record.duration,
            'fps': record.fps,
            'frame': record.frames,
            'annotations': record.annotations,
        }
        database[video_id] = {name: value for name, value in entry.items() if value is not None}
    return database


def _from_stored(
    records: Mapping[str, VideoRecord], stored: Mapping[str, StoredVideo]
) -> dict[str, dict]:
    database, differing = {}, []
    for video_id, video in stored.items():
        record = records[video_id]
        database[video_id] = make_video_entry(
            record.subset,
            video.duration,
            video.fps,
            video.frames,
            video.path,
            record.annotations,
        )
        stated = record.duration
        if stated is not None and abs(stated - video.duration) > _LENGTH_TOLERANCE:
            differing.append(f'{video_id} ({video.duration:.1f} s, annotation {stated:.1f} s)')
    if differing:
        print(f'{len(differing)} files last longer or shorter than annotated: {differing[:5]}')
    return database


def prepare(
    args: argparse.Namespace,
    records: Mapping[str, VideoRecord],
    classes: Sequence[str],
    version: str,
    file_stem: Callable[[str], str] = str,
) -> int:
    """Store the videos, write ``annotations.json`` and print the census.

    Args:
        args: From a parser that :func:`add_arguments` prepared, with ``annotations``, the file or
            folder that was read.
        records: Videos by id.
        classes: Class names in label order.
        version: Written to the file; it names the census.
        file_stem: From an id to the video file's name without its suffix.

    Returns:
        Exit code: 0, or 1 if a video is missing or failed.

    Raises:
        ValueError: If there is no video or nothing to do, ``--shard`` is malformed, or something
            of the user would be replaced.
    """
    target = args.out / 'annotations.json'
    refuse_to_replace(target, [args.annotations])
    refuse_other_annotations(target, version)
    if not records:
        raise ValueError(f'{args.annotations}: all videos are left out; nothing is written')
    shard = parse_shard(args.shard)
    failures: list[Failure] = []
    if args.annotations_only:
        database = _from_records(records)
    elif args.videos is None:
        raise ValueError('give --videos DIR, or --annotations-only to convert annotations alone')
    else:
        sources, failures = find_videos(args.videos, records, args.out, file_stem)
        sources = share(sources, shard)
        stored, failed = store_videos(sources, args.out, _settings(args), args.workers)
        failures += failed
        database = _from_stored(records, stored)
    if shard[1] > 1:
        print(
            f'part {args.shard}: {len(database)} videos are stored; once all parts are, run this '
            f'without --shard, which writes {target}'
        )
    elif database and (args.allow_missing or not failures):
        write_annotations(target, version, classes, database)
        print(f'{version}\n{census_table(database, classes)}\nwritten to {args.out}')
    elif failures:
        print(f'{target} not written; --allow-missing leaves the failed ones out', file=sys.stderr)
    return print_failures(failures, bool(database))
