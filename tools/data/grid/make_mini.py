"""Make the embedded data set out of GRID: fewer recordings, small frames, twelve words.

Example:
    python tools/data/grid/make_mini.py path/to/grid --out data/grid_mini

SRC is what prepare.py reads. The recordings are drawn at random from each subset.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import (
    atomic_path,
    census_table,
    labelled,
    make_video_entry,
    refuse_other_annotations,
    run_main,
    write_annotations,
    write_video,
)
from tools.data.grid.prepare import CLASSES as WORDS

VERSION = 'grid-mini-1'
CLASSES = WORDS[:8] + WORDS[-4:]


def prepare(args: argparse.Namespace) -> int:
    """Write the recordings drawn and their annotations; returns the exit code.

    Raises:
        ValueError: If SRC itself would be written to, or annotations of the user be replaced.
    """
    from mmtad_decomp.datasets import SampledFrames, probe_video

    labelled.check_folder(args.source, args.out)
    labelled.check_folder(args.source / 'videos', args.out / 'videos')
    refuse_other_annotations(args.out / 'annotations.json', VERSION)
    videos = labelled.read_videos(args.source)
    draw = random.Random(args.seed)
    database = {}
    for subset, count in (('training', args.train), ('validation', args.val)):
        ids = sorted(key for key, video in videos.items() if video['subset'] == subset)
        for key in sorted(draw.sample(ids, count)):
            source, name = args.source / 'videos' / f'{key}.mp4', f'videos/{key}.mp4'
            info = probe_video(source)
            frames = SampledFrames(source, info.fps, args.short_side, multiple=2)
            with atomic_path(args.out / name) as partial:
                write_video(partial, frames, info.fps, args.crf)
            words = [item for item in videos[key]['annotations'] if item['label'] in CLASSES]
            database[key] = make_video_entry(
                subset, info.duration, float(info.fps), info.num_frames, name, words
            )
    write_annotations(args.out / 'annotations.json', VERSION, CLASSES, database)
    print(census_table(database, CLASSES))
    size = sum(path.stat().st_size for path in (args.out / 'videos').iterdir())
    print(f'written to {args.out}: {len(database)} videos, {size / 2**20:.1f} MiB')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path, metavar='SRC', help='annotations.json and videos/')
    parser.add_argument('--out', type=Path, default=Path('data/grid_mini'), help='output folder')
    parser.add_argument('--train', type=int, default=400, help='training recordings')
    parser.add_argument('--val', type=int, default=125, help='validation recordings')
    parser.add_argument('--short-side', type=int, default=32, help='pixels')
    parser.add_argument('--crf', type=int, default=20, help='h264 quality')
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(prepare, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
