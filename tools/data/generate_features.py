"""Generate features with planted actions for MMAction2's localizers, to try configs without data.

RGB features tell where something like an action is going on, with blurred borders and false
alarms, and hold only a trace of when it moves; flow features tell that. Writes
``anno_train.json`` and ``anno_val.json`` in MMAction2's form, with proposals for TCANet, and one
CSV file per video: into ``two_stream/`` (RGB channels, then flow's), or with ``--separate`` into
``rgb/`` and ``flow/``.

Example:
    python tools/data/generate_features.py --out data/generated --channels 200
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.data.common.files import read_json

FPS, FRAMES_PER_STEP, CLASSES = 30, 16, 5


def plan_segments(rng: np.random.Generator, count: int) -> np.ndarray:
    """``(count, 2)`` segments that do not touch, in order, as fractions of a video."""
    shares = rng.dirichlet(np.full(count, 4.0))
    starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    left, width = rng.uniform(0.1, 0.4, count), rng.uniform(0.25, 0.5, count)
    return np.stack([starts + left * shares, starts + (left + width) * shares], axis=1)


def coverage(segments: np.ndarray, steps: int) -> np.ndarray:
    """``(T,)`` share of each step that lies in one of the segments."""
    edges = np.arange(steps + 1) / steps
    inside = np.minimum(edges[1:], segments[:, 1:]) - np.maximum(edges[:-1], segments[:, :1])
    return np.clip(inside * steps, 0, 1).sum(axis=0).clip(max=1)


def make_features(
    rng: np.random.Generator,
    codes: dict[str, np.ndarray],
    actions: np.ndarray,
    others: np.ndarray,
    label: int,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """RGB and flow features of one video, each ``(T, C)``.

    Args:
        rng: Source of noise and blur.
        codes: ``context``, ``trace`` and ``motion``: ``(CLASSES, C)`` patterns.
        actions: ``(G, 2)`` segments of actions, fractions of the video.
        others: ``(H, 2)`` segments that look like the action but do not move.
        label: Class of the video.
        steps: T.
    """
    moving = coverage(actions, steps)[:, None]
    margins = rng.uniform(0.01, 0.08, (len(actions), 2)) * [-1, 1]
    looks = coverage(np.concatenate([actions + margins, others]), steps)[:, None]
    channels = codes['context'].shape[1]
    drift = np.cumsum(rng.normal(0, 0.03, (steps, channels)), axis=0)
    rgb = 0.3 * looks * codes['context'][label] + 0.08 * moving * codes['trace'][label]
    flow = 0.25 * moving * codes['motion'][label]
    return (
        rgb + drift + rng.normal(0, 1, (steps, channels)),
        flow + rng.normal(0, 1, (steps, channels)),
    )


def make_proposals(rng: np.random.Generator, actions: np.ndarray, count: int) -> list:
    """``count`` proposals ``[start, end, score]``, half of them near actions."""
    from mmtad_decomp.structures import pairwise_tiou

    near = actions[rng.integers(len(actions), size=count // 2)]
    length = near[:, 1:] - near[:, :1]
    near = near + rng.uniform(-0.35, 0.35, near.shape) * length
    far = np.sort(rng.uniform(0, 1, (count - len(near), 2)), axis=1)
    segments = np.clip(np.concatenate([near, far]), 0, 1)
    segments[:, 1] = np.maximum(segments[:, 1], segments[:, 0] + 0.01)
    quality = pairwise_tiou(segments, actions).max(axis=1)
    scores = np.clip(quality + rng.normal(0, 0.25, count), 0.01, 1)
    return np.column_stack([segments, scores]).round(5).tolist()


def write_csv(path: Path, features: np.ndarray) -> None:
    """Write ``(T, C)`` features as MMAction2's LoadLocalizationFeature reads them."""
    from mmtad_decomp.utils import atomic_write

    header = ','.join(f'f{channel}' for channel in range(features.shape[1]))
    with atomic_write(path, 'w') as file:
        np.savetxt(file, features, fmt='%.3f', delimiter=',', header=header, comments='')


def generate(args: argparse.Namespace) -> int:
    """Write features and annotations; returns the exit code."""
    from mmtad_decomp.utils import atomic_write

    for name in ('channels', 'steps', 'train', 'val', 'proposals'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be positive, got {getattr(args, name)}')
    targets = {subset: args.out / f'anno_{subset}.json' for subset in ('train', 'val')}
    for subset, target in targets.items():
        if target.is_file() and not all(v.startswith(f'v_{subset}') for v in read_json(target)):
            raise ValueError(
                f'{target} would be replaced, but it has other videos than this command makes; '
                'move it away, or name another --out'
            )
    rng = np.random.default_rng(args.seed)
    shape = (CLASSES, args.channels)
    codes = {name: rng.choice([-1.0, 1.0], shape) for name in ('context', 'trace', 'motion')}
    frames = args.steps * FRAMES_PER_STEP
    for subset, target in targets.items():
        videos = {}
        for index in range(getattr(args, subset)):
            segments = plan_segments(rng, int(rng.integers(2, 6)))
            moves = rng.permutation(len(segments)) < (len(segments) + 1) // 2
            actions, label = segments[moves], int(rng.integers(CLASSES))
            rgb, flow = make_features(rng, codes, actions, segments[~moves], label, args.steps)
            name = f'v_{subset}{index:04d}'
            if args.separate:
                write_csv(args.out / 'rgb' / f'{name}.csv', rgb)
                write_csv(args.out / 'flow' / f'{name}.csv', flow)
            else:
                both = np.concatenate([rgb, flow], axis=1)
                write_csv(args.out / 'two_stream' / f'{name}.csv', both)
            seconds = (actions * frames / FPS).round(3).tolist()
            videos[name] = dict(
                duration_second=frames / FPS,
                duration_frame=frames,
                feature_frame=frames,
                fps=FPS,
                annotations=[dict(segment=s, label=f'action{label}') for s in seconds],
                proposals=make_proposals(rng, actions, args.proposals),
            )
        with atomic_write(target, 'w') as file:
            json.dump(videos, file)
    print(f'{args.train} training and {args.val} validation videos in {args.out}')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='output folder')
    parser.add_argument('--channels', type=int, default=200, help='channels of each stream')
    parser.add_argument('--steps', type=int, default=100, help='steps of each video')
    parser.add_argument('--train', type=int, default=60, help='training videos')
    parser.add_argument('--val', type=int, default=20, help='validation videos')
    parser.add_argument('--proposals', type=int, default=30, help='proposals of each video')
    parser.add_argument('--separate', action='store_true', help='one folder for each stream')
    parser.add_argument('--seed', type=int, default=0, help='random seed')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(generate, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
