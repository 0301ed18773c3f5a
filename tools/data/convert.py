"""Make a data set of your videos and your labels.

Examples:
    python tools/data/convert.py labels.csv --videos my/videos --out data/custom
    python tools/data/convert.py 'elan/*.eaf' --videos my/videos --layers actions \
        --group-by '^(person[0-9]+)_'

Reads CSV tables, ELAN, VIA 3, CVAT, Label Studio, BORIS and ActivityNet-style JSON. Writes
``annotations.json`` and links the videos beside it. See docs/en/user_guides/custom_dataset.md.
"""

from __future__ import annotations

import argparse
import glob
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tools.command_line import parse_fields
from tools.data.common import (
    census_table,
    make_video_entry,
    parallel_map,
    print_failures,
    refuse_other_annotations,
    run_main,
    write_annotations,
)
from tools.data.common.files import refuse_to_replace
from tools.data.common.labelled import check_places, place_video
from tools.data.common.parallel import add_workers
from tools.data.common.preparing import find_videos
from tools.data.labels import Label, LabelError, ReadOptions, read_labels
from tools.data.labels.checks import (
    Instance,
    check_length,
    check_names,
    check_video,
    length_table,
    summarize,
)
from tools.data.labels.csv_table import ROLES
from tools.data.labels.records import UNITS
from tools.data.labels.split import split_by_group

if TYPE_CHECKING:
    from mmtad_decomp.datasets import VideoInfo

VERSION = 'custom-1'
_SOUND_ENDINGS = ('.aac', '.flac', '.m4a', '.mp3', '.ogg', '.wav')  # of a video, linked by ELAN
SUBSETS = ('training', 'validation', 'testing')
_FRAMES_OF_SHORTEST = 4
_WINDOW = (64, 512)
_MOST_WINDOWS_OF_ONE = 1.5  # longest video, in windows, that is looked at whole


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'labels', nargs='+', metavar='LABELS', help='exported files, or patterns in quotes'
    )
    parser.add_argument(
        '--videos', type=Path, required=True, help='folder of the videos, searched'
    )
    parser.add_argument('--out', type=Path, default=Path('data/custom'), help='output folder')
    parser.add_argument('--copy', action='store_true', help='copy the videos, do not link them')
    parser.add_argument(
        '--classes', nargs='+', help='classes to keep, in their order (default: all, sorted)'
    )
    parser.add_argument(
        '--unit', choices=UNITS, default='seconds', help='unit of the numbers in tables'
    )
    parser.add_argument(
        '--frame-rate',
        type=float,
        help="frames per second that frame numbers count in (default: each video's own)",
    )
    parser.add_argument(
        '--columns',
        nargs='+',
        default=[],
        metavar='ROLE=NAME',
        help=f'columns of a table with other names; roles: {", ".join(ROLES)}',
    )
    parser.add_argument('--layers', nargs='+', default=[], help="ELAN's tiers or VIA's attributes")
    parser.add_argument(
        '--name-from',
        choices=('value', 'tier'),
        default='value',
        help='what names the class in ELAN (default: the value of the annotation)',
    )
    parser.add_argument(
        '--labels',
        dest='label_fields',
        type=parse_fields,
        default='label',
        metavar='FIELD',
        help='fields that name the classes in ActivityNet-style JSON: verb, or verb,noun '
        '(default: label)',
    )
    parser.add_argument(
        '--group-by',
        metavar='PATTERN',
        help='regular expression whose first group, or match, in a video id names its group, such '
        'as its person or place (default: a column "group", else each video by itself)',
    )
    parser.add_argument(
        '--subsets',
        nargs='+',
        default=[],
        metavar='SUBSET=NAME',
        help='what the labels call the subsets, such as training=Validation validation=Test',
    )
    parser.add_argument(
        '--val-share', type=float, default=0.3, help='share for validation (default: 0.3)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the split')
    add_workers(parser)
    parser.add_argument('--strict', action='store_true', help='write nothing if a label is odd')
    return parser.parse_args(argv)


def read_options(args: argparse.Namespace) -> ReadOptions:
    """The options of the readers.

    Raises:
        LabelError: If an option makes no sense.
    """
    if not 0 < args.val_share < 1:
        raise LabelError(f'--val-share must be between 0 and 1, got {args.val_share:g}')
    if args.frame_rate is not None and not args.frame_rate > 0:
        raise LabelError(f'--frame-rate must be above 0, got {args.frame_rate:g}')
    columns = dict(item.partition('=')[::2] for item in args.columns)
    for role, name in columns.items():
        if role not in ROLES or not name:
            raise LabelError(f'--columns {role}={name}: write ROLE=NAME; roles are {[*ROLES]}')
    return ReadOptions(
        args.unit, args.frame_rate, columns, args.layers, args.name_from, args.label_fields
    )


def read_all(names: Sequence[str], options: ReadOptions, target: Path) -> list[Label]:
    """Labels of all files.

    Args:
        names: Files, or patterns.
        options: Of the readers.
        target: The file that will be written.

    Raises:
        LabelError: If there is no file, or no label in them.
        ValueError: If one of them is ``target``.
    """
    paths = []
    for name in names:
        found = [name] if Path(name).exists() else sorted(glob.glob(name, recursive=True))
        if not found:
            raise LabelError(f'{name} does not exist; name exported files, or patterns in quotes')
        paths += found
    refuse_to_replace(target, paths)
    labels = [label for path in paths for label in read_labels(path, options)]
    if not labels:
        raise LabelError(f'{", ".join(paths[:3])}: no action in {len(paths)} files; label some')
    return labels


def video_id(name: str) -> str:
    """Id of a video: its file's name without folder and ending; other dots are part of it.

    macOS writes an accent behind its letter, other systems write both as one character (NFC).
    """
    from mmtad_decomp.datasets import VIDEO_ENDINGS

    name = unicodedata.normalize('NFC', name)
    path = Path(PureWindowsPath(name).name if '\\' in name else name)
    return path.stem if path.suffix.lower() in (*VIDEO_ENDINGS, *_SOUND_ENDINGS) else path.name


def to_seconds(label: Label, info: VideoInfo) -> Instance:
    """A label on the clock of its video.

    Frame numbers without a rate of their own count the pictures of the file, whose times may have
    any spacing; numbers beyond the last picture go on at the mean rate.
    """
    ends = np.array([label.start, label.end])
    if label.in_frames and label.fps:
        ends /= label.fps
    elif label.in_frames:
        clock = np.append(info.times, info.duration)
        beyond = np.minimum(ends, 0) + np.maximum(ends - info.num_frames, 0)
        ends = np.interp(ends, np.arange(len(clock)), clock) + beyond / float(info.fps)
    start, end = ends.round(6).tolist()
    return Instance(start, end, label.label, label.where)


def choose_classes(labels: Sequence[Label], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Classes in label order; says which labels are left out.

    Raises:
        LabelError: If one that is wanted does not occur, or is named twice.
    """
    wanted = [unicodedata.normalize('NFC', name) for name in wanted or ()]
    twice = [name for name, n in Counter(wanted).items() if n > 1]
    if twice:
        raise LabelError(f'--classes names {twice[0]!r} twice; name each class once')
    counts = Counter(label.label for label in labels)
    missing = [name for name in wanted if name not in counts]
    if missing:
        raise LabelError(f'--classes: no label {missing[0]!r}; there are {sorted(counts)}')
    left_out = {name: n for name, n in counts.items() if wanted and name not in wanted}
    if left_out:
        print(f'left out: {", ".join(f"{n} {name}" for name, n in sorted(left_out.items()))}')
    return tuple(wanted or sorted(counts))


def rename_subsets(
    subsets: Mapping[str, str | None], options: Sequence[str]
) -> dict[str, str | None]:
    """Subset of each video, by the names of :data:`SUBSETS`.

    Args:
        subsets: Names that the labels have.
        options: ``SUBSET=NAME`` of those that are called otherwise.

    Raises:
        LabelError: If an option names no subset, or none of the labels.
    """
    names = {}
    for option in options:
        subset, _, name = option.partition('=')
        if subset not in SUBSETS or name not in subsets.values():
            there = sorted({name for name in subsets.values() if name is not None})
            raise LabelError(
                f'--subsets {option}: write SUBSET=NAME; subsets are {[*SUBSETS]}, names {there}'
            )
        names[name] = subset
    return {
        video: None if name is None else names.get(name, name) for video, name in subsets.items()
    }


def choose_subsets(
    by_video: Mapping[str, Sequence[Label]], classes: Sequence[str], args: argparse.Namespace
) -> dict[str, str]:
    """Subset of each video: as the labels say, or a split by group.

    Raises:
        LabelError: If labels contradict each other, or a group cannot be told.
    """
    stated = {video: (labels[0].group, labels[0].subset) for video, labels in by_video.items()}
    for video, labels in by_video.items():
        for label in labels:
            if (label.group, label.subset) != stated[video]:
                raise LabelError(
                    f'video {video}: its labels name several groups or subsets, first in '
                    f'{labels[0].where} and {label.where}; keep one'
                )
    subsets = rename_subsets(
        {video: subset for video, (_, subset) in stated.items()}, args.subsets
    )
    named = {video: subset for video, subset in subsets.items() if subset is not None}
    without = [video for video in subsets if video not in named]
    if named and without:
        raise LabelError(
            f'{by_video[without[0]][0].where}: names no subset of {without[0]}, labels of other '
            'videos do; name the subset of all videos, or of none'
        )
    if not without:
        unknown = [video for video, subset in named.items() if subset not in SUBSETS]
        if unknown:
            names = list(dict.fromkeys(named[video] for video in unknown))
            raise LabelError(
                f'{by_video[unknown[0]][0].where}: subset {names[0]!r} is unknown; use '
                f'{", ".join(SUBSETS)}, or say which ones {names} are by --subsets SUBSET=NAME ...'
            )
        return named
    try:
        pattern = re.compile(args.group_by) if args.group_by else None
    except re.error as error:
        raise LabelError(
            f'--group-by {args.group_by!r} is no regular expression ({error}); correct it'
        ) from error
    groups = {}
    for video, (group, _) in stated.items():
        match = pattern.search(video) if pattern else None
        if pattern and match is None:
            raise LabelError(f'--group-by {args.group_by!r} does not match the video id {video!r}')
        by_name = match and (match.group(1) if match.re.groups else match.group())
        groups[video] = by_name or group or video
    counts = {
        video: Counter(label.label for label in labels if label.label in classes)
        for video, labels in by_video.items()
    }
    print(f'split by {len(set(groups.values()))} groups of {len(groups)} videos')
    return split_by_group(groups, counts, args.val_share, args.seed)


def suggest(lengths: Sequence[float], infos: Sequence[VideoInfo], out: Path, classes) -> str:
    """The four lines of configs/custom/data.py for this data set.

    Videos that are little longer than a window are looked at whole: two windows would show most of
    their frames twice and make training twice as long.
    """
    short, long = np.percentile(lengths, (5, 95))
    native = max(float(info.fps) for info in infos)
    fps = min(native, max(1.0, float(np.ceil(_FRAMES_OF_SHORTEST / short))))
    whole = max(int(np.ceil(info.duration * fps)) for info in infos)
    window = int(np.clip(np.ceil(3 * long * fps), *_WINDOW))
    if whole < _MOST_WINDOWS_OF_ONE * window:
        window = whole
    return (
        f'data_root = {str(out).rstrip("/") + "/"!r}\nclasses = {tuple(classes)!r}\n'
        f'sample_fps = {fps:g}\nwindow = {window}'
    )


def convert(args: argparse.Namespace) -> int:
    """Convert; returns the exit code."""
    from mmtad_decomp.datasets import probe_video

    target = args.out / 'annotations.json'
    labels = read_all(args.labels, read_options(args), target)
    refuse_other_annotations(target, VERSION)
    classes = choose_classes(labels, args.classes)
    by_video: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        by_video[video_id(label.video)].append(label)
    subsets = choose_subsets(by_video, classes, args)
    paths, failures = find_videos(args.videos, by_video, args.out)
    if failures:
        return print_failures(failures, anything_done=False)
    places = {args.out / 'videos' / path.name: path for path in paths.values()}
    check_places(places)
    infos, failures = parallel_map(probe_video, paths, args.workers, 'check')
    if failures:
        return print_failures(failures, anything_done=False)
    database: dict[str, dict] = {}
    findings = check_names([label for label in labels if label.label in classes])
    for key, path in paths.items():
        info = infos[key]
        found = [to_seconds(item, info) for item in by_video[key] if item.label in classes]
        findings += check_length(by_video[key], info.duration)
        findings += check_video(found, info.duration)
        database[key] = make_video_entry(
            subsets[key],
            info.duration,
            float(info.fps),
            info.num_frames,
            f'videos/{path.name}',
            [dict(segment=(item.start, item.end), label=item.label) for item in found],
        )
    loaded = as_loaded(database, classes, target)
    if findings:
        print(summarize(findings))
        if args.strict:
            raise LabelError(f'{len(findings)} labels are odd (--strict): nothing is written')
    lengths: dict[str, list[float]] = {name: [] for name in classes}
    for video in loaded.values():
        for item in video['annotations']:
            lengths[item['label']].append(item['segment'][1] - item['segment'][0])
    every = [length for values in lengths.values() for length in values]
    if not every:
        raise LabelError(
            'no action ends after it begins, inside its video; correct the times (of points in '
            'time, make actions with a length); nothing is written'
        )
    for place, path in places.items():
        place_video(path, place, args.copy)
    write_annotations(target, VERSION, classes, database)
    print(f'{census_table(loaded, classes)}\n\n{length_table(lengths)}\n')
    print('lines for configs/custom/data.py:')
    print(suggest(every, list(infos.values()), args.out, classes))
    print(f'\nwritten: {target}')
    return 0


def as_loaded(
    database: Mapping[str, dict], classes: Sequence[str], target: Path
) -> dict[str, dict]:
    """The database with the actions that loading keeps, clipped to their videos.

    Raises:
        LabelError: If most of the actions lie behind their videos.
    """
    from mmtad_decomp.annotations import AnnotationError, load_annotations

    try:
        found = load_annotations(target, content=dict(database=database, classes=list(classes)))
    except AnnotationError as error:
        raise LabelError(f'{error}; for tables say so by --unit; nothing is written') from error
    return {
        key: {
            **database[key],
            'annotations': [
                dict(segment=segment, label=classes[label])
                for segment, label in zip(video.segments.tolist(), video.labels.tolist())
            ],
        }
        for key, video in found.videos.items()
    }


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(lambda: convert(parse_args(argv)))


if __name__ == '__main__':
    sys.exit(main())
