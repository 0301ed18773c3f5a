"""Prepare 50 Salads from features: files for the data set, segments, and leave-one-user-out folds.

Example:
    python tools/data/salads/prepare.py path/to/salads --out data/salads

SRC holds ``videos.json`` and ``{eval,mid}_UU-V.npz`` with ``video`` (T, 128), ``accelerometers``
(T, 30) and ``labels`` (T,), 0 being background. A segment is a run of equal labels. Features of
different splits come from different networks, so each fold stays within the 10 videos of one split
and holds out the videos of one user: 25 folds of 8 training and 2 validation videos.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import (
    census_table,
    make_video_entry,
    read_json,
    refuse_other_annotations,
    run_main,
    write_annotations,
)

VERSION = 'salads-1'
CHANNELS = {'video': 128, 'accelerometers': 30}
CLASSES = {'eval': 9, 'mid': 17}
# Steps per second, estimated: the source says how many steps a video has, not how long it is.
STEP_RATES = {'eval': 4.2, 'mid': 2.5}


def label_runs(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Runs of equal labels other than 0: first step, the step after the last, label.

    Args:
        labels: ``(T,)`` int.
    """
    ends = np.append(np.flatnonzero(np.diff(labels)) + 1, len(labels))
    begins = np.concatenate([[0], ends[:-1]])
    runs = zip(begins.tolist(), ends.tolist(), labels[begins].tolist())
    return [(begin, end, label) for begin, end, label in runs if label]


def pool_steps(features: np.ndarray, stride: int) -> np.ndarray:
    """Means of ``stride`` neighbouring steps; the last one may be of fewer.

    Args:
        features: ``(T, C)``.
        stride: Steps in a mean.

    Returns:
        ``(ceil(T / stride), C)`` float32.
    """
    begins = np.arange(0, len(features), stride)
    sums = np.add.reduceat(features.astype(np.float32), begins, axis=0)
    return sums / np.diff(np.append(begins, len(features)))[:, None].astype(np.float32)


def read_video(path: Path, steps: int, num_classes: int) -> dict[str, np.ndarray]:
    """Features and labels of a video.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If an array is missing or malformed.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; SRC must hold the file of every video')
    with np.load(path) as content:
        arrays = {name: content[name] for name in (*CHANNELS, 'labels') if name in content.files}
    shapes = {name: (steps, width) for name, width in CHANNELS.items()} | {'labels': (steps,)}
    for name, shape in shapes.items():
        got = arrays[name].shape if name in arrays else 'nothing'
        if got != shape:
            raise ValueError(f'{path}: array "{name}" must have shape {shape}, got {got}')
        if not np.isfinite(arrays[name].astype(np.float32)).all():
            raise ValueError(f'{path}: array "{name}" holds NaN or infinity')
    labels = arrays['labels'].astype(np.int64)
    if labels.min() < 0 or labels.max() > num_classes:
        raise ValueError(
            f'{path}: array "labels" must be in 0 to {num_classes}, got {labels.min()} to '
            f'{labels.max()}'
        )
    return {**arrays, 'labels': labels}


def plan_folds(videos: dict[str, dict]) -> list[tuple[list[str], list[str]]]:
    """Training and validation videos of each fold, by split and user."""
    folds = []
    for split in sorted({video['features_from_split'] for video in videos.values()}):
        members = [key for key, v in videos.items() if v['features_from_split'] == split]
        for user in sorted({videos[key]['user'] for key in members}):
            held_out = [key for key in members if videos[key]['user'] == user]
            folds.append(([key for key in members if key not in held_out], held_out))
    return folds


def prepare(args: argparse.Namespace) -> int:
    """Write features and one annotation file per fold; returns the exit code."""
    from mmtad_decomp.utils import atomic_write

    source, out, kind = args.source, args.out, args.granularity
    if args.stride < 1:
        raise ValueError(f'--stride must be at least 1 step, got {args.stride}')
    videos = read_json(source / 'videos.json')[kind]
    rate, classes = STEP_RATES[kind], [f'action{i + 1}' for i in range(CLASSES[kind])]
    planned = enumerate(plan_folds(videos))
    folds = {out / f'annotations_fold{number}.json': fold for number, fold in planned}
    for target in folds:
        refuse_other_annotations(target, VERSION)
    database = {}
    for key, video in videos.items():
        steps = video['steps']
        arrays = read_video(source / f'{kind}_{key}.npz', steps, len(classes))
        for name in CHANNELS:
            with atomic_write(out / name / f'{key}.npy') as file:
                np.save(file, pool_steps(arrays[name], args.stride))
        items = [
            dict(segment=[begin / rate, end / rate], label=classes[label - 1])
            for begin, end, label in label_runs(arrays['labels'])
        ]
        database[key] = make_video_entry(
            'training', steps / rate, rate, steps, f'video/{key}.npy', items
        )
    for target, (trained, held_out) in folds.items():
        subsets = dict.fromkeys(trained, 'training') | dict.fromkeys(held_out, 'validation')
        content = {key: {**database[key], 'subset': subset} for key, subset in subsets.items()}
        write_annotations(target, VERSION, classes, content)
    print(census_table(database, classes))
    print(
        f'{len(folds)} folds, each of one split without one user; times by {rate} steps a second'
    )
    print(f'written to {out}')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path, metavar='SRC', help='videos.json and the .npz files')
    parser.add_argument('--out', type=Path, default=Path('data/salads'), help='output folder')
    parser.add_argument(
        '--granularity', choices=tuple(CLASSES), default='eval', help='9 or 17 actions'
    )
    parser.add_argument(
        '--stride',
        type=int,
        default=2,
        help='steps that are averaged to one; the configs have `feature_stride=2`',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(prepare, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
