"""Render the synthetic data set: encoded videos and an ActivityNet-style annotation file.

Example:
    python tools/data/synthetic/render.py --out data/synthetic
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.command_line import run_main
from tools.data.common import (
    Manifest,
    atomic_path,
    census_table,
    make_video_entry,
    parallel_map,
    print_failures,
    write_annotations,
    write_video,
)
from tools.data.synthetic.timeline import (
    CLASSES,
    FPS,
    Timeline,
    plan_timeline,
)

VERSION = 'synthetic-1'
_SUBSETS = {'training': 0, 'validation': 1}


def plan_videos(seed: int, counts: dict[str, int]) -> dict[str, tuple[str, Timeline, int]]:
    """Plan every video of the data set, without rendering.

    Args:
        seed: Seed of the whole set; a video depends on it, its subset and its index only,
            except that its classes continue the round of the video before it.
        counts: Number of videos per subset.

    Returns:
        By video id: subset, timeline, and the seed of the pixels.
    """
    plans = {}
    for subset, count in counts.items():
        names: deque[str] = deque()
        for index in range(count):
            rng = np.random.default_rng([seed, _SUBSETS[subset], index])
            num_frames = int(rng.integers(200, 251))
            line = plan_timeline(rng, num_frames, names)
            video_id = f'{subset}_{index:03d}'
            plans[video_id] = (subset, line, int(rng.integers(2**31)))
    return plans


def _render_one(task: tuple[Path, Timeline, int]) -> None:
    from tools.data.synthetic.scene import render_frames

    path, line, seed = task
    if path.exists():
        return
    with atomic_path(path) as partial:
        write_video(partial, render_frames(np.random.default_rng(seed), line), FPS)


def _entry(video_id: str, subset: str, line: Timeline) -> dict:
    annotations = [
        {'segment': [start / FPS, stop / FPS], 'label': name} for start, stop, name in line.actions
    ]
    frames = len(line.angle)
    path = f'videos/{video_id}.mp4'
    return make_video_entry(subset, frames / FPS, FPS, frames, path, annotations)


def render_dataset(out: Path, train: int, val: int, seed: int, workers: int) -> int:
    """Render the data set into ``out``, or do nothing where it is there already.

    A run that was interrupted is continued; other arguments than before start afresh.

    Returns:
        Exit code: 0, or 1 if a video failed.
    """
    plans = plan_videos(seed, {'training': train, 'validation': val})
    database = {key: _entry(key, subset, line) for key, (subset, line, _) in plans.items()}
    arguments = {'version': VERSION, 'seed': seed, 'train': train, 'val': val}
    manifest = Manifest(out, arguments)
    if manifest.is_complete():
        print(f'{out} is complete already (same arguments); delete it to render it again')
        print(census_table(database, CLASSES))
        return 0
    files = [entry['path'] for entry in database.values()] + ['annotations.json']
    manifest.begin(files)
    tasks = {key: (out / database[key]['path'], line, s) for key, (_, line, s) in plans.items()}
    _, failures = parallel_map(_render_one, tasks, workers, 'render')
    if failures:
        return print_failures(failures)
    write_annotations(out / 'annotations.json', VERSION, CLASSES, database)
    manifest.finish(files)
    print(census_table(database, CLASSES))
    print(f'written to {out}')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('data/synthetic'), help='output folder')
    parser.add_argument('--train', type=int, default=24, help='training videos')
    parser.add_argument('--val', type=int, default=12, help='validation videos')
    parser.add_argument('--seed', type=int, default=0, help='seed of the whole set')
    parser.add_argument('--workers', type=int, default=2, help='processes')
    args = parser.parse_args(argv)
    if args.train < 1 or args.val < 1:
        parser.error('--train and --val must be at least 1')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parse_args(argv)
    return render_dataset(args.out, args.train, args.val, args.seed, args.workers)


if __name__ == '__main__':
    sys.exit(run_main(main))
