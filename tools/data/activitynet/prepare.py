"""Prepare ActivityNet-1.3: frames or resized videos, and annotations without blocked videos.

Example:
    python tools/data/activitynet/prepare.py --annotations activity_net.v1-3.min.json \
        --videos path/to/videos --out data/activitynet --blocked blocked.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import read_database, run_main
from tools.data.common.preparing import (
    VideoRecord,
    add_arguments,
    prepare,
)

SUBSETS = ('training', 'validation')


def read_blocked(path: Path) -> set[str]:
    """Ids of blocked videos, see :func:`~mmtad_decomp.annotations.read_video_list`.

    A leading ``v_`` is ignored.

    Raises:
        ValueError: If the file is missing or malformed.
    """
    from mmtad_decomp.annotations import read_video_list

    return {video_id.removeprefix('v_') for video_id in read_video_list(path)}


def choose_subsets(
    wanted: Sequence[str] | None, database: Mapping[str, dict], source: Path
) -> list[str]:
    """Subsets to keep.

    Args:
        wanted: Names on the command line; None takes those of :data:`SUBSETS` that there are.
        database: All videos.
        source: Their file, for the message.

    Raises:
        ValueError: If no video is of one that is wanted, or of any.
    """
    there = {video['subset'] for video in database.values()}
    chosen = [name for name in SUBSETS if name in there] if wanted is None else [*wanted]
    unknown = [name for name in chosen or SUBSETS if name not in there]
    if unknown:
        raise ValueError(
            f'{source}: no video is of subset {" or ".join(unknown)}; name some of '
            f'{sorted(filter(None, there))} by --subsets'
        )
    return chosen


def read_activitynet(
    source: Path, subsets: Sequence[str] | None, blocked: set[str]
) -> tuple[dict[str, VideoRecord], list[str]]:
    """Read the official annotation file.

    Args:
        source: ``activity_net.v1-3.min.json``.
        subsets: Subsets to keep; None takes those of :data:`SUBSETS` that there are.
        blocked: Ids to leave out.

    Returns:
        Videos by id, and all class names in alphabetical order.

    Raises:
        ValueError: If the file is malformed, or has no such subset.
    """
    database = read_database(source, ('subset', 'duration', 'annotations'))
    kept = choose_subsets(subsets, database, source)
    records: dict[str, VideoRecord] = {}
    labels: set[str] = set()
    for video_id, video in database.items():
        labels.update(item['label'] for item in video['annotations'])
        if video['subset'] in kept and video_id not in blocked:
            records[video_id] = VideoRecord(
                video['subset'], float(video['duration']), annotations=video['annotations']
            )
    return records, sorted(labels)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--annotations', type=Path, required=True, help='official JSON file')
    parser.add_argument('--blocked', type=Path, help='list of videos to leave out')
    parser.add_argument(
        '--subsets', nargs='+', help=f'subsets to keep (default: {" and ".join(SUBSETS)})'
    )
    parser.add_argument('--prefix', default='v_', help="what video files' names begin with")
    add_arguments(parser, out='data/activitynet', fps='10', short_side=110)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Convert annotations and store videos; returns the exit code.

    Besides, ``blocked.json`` lists the ids left out, which the configs exclude from data set and
    evaluation. One that is there counts and stays; ``--blocked`` may not name other videos.
    """
    from mmtad_decomp.utils.atomic import write_json

    target = args.out / 'blocked.json'
    there = read_blocked(target) if target.exists() else None
    blocked = read_blocked(args.blocked) if args.blocked else there or set()
    if there and there != blocked:
        raise ValueError(
            f'{target} lists other videos than --blocked and would be replaced; move it away, or '
            'leave --blocked out, so that it counts'
        )
    records, classes = read_activitynet(args.annotations, args.subsets, blocked)
    print(f'{len(records)} videos, {len(blocked)} on the list of blocked ones')
    if blocked and args.blocked is None:
        print(f'{target} is that list; it stays. To use another one, move it away first')
    code = prepare(
        args, records, classes, 'ActivityNet-1.3', lambda video_id: f'{args.prefix}{video_id}'
    )
    if (args.out / 'annotations.json').exists() and there != blocked:
        write_json(target, sorted(blocked))
    return code


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
