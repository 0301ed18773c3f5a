"""Compose untrimmed videos from Weizmann's trimmed clips, with leave-actors-out folds.

The result is semi-synthetic: real pixels in an artificial order.

Example:
    python tools/data/weizmann/compose.py path/to/weizmann --out data/weizmann

SRC holds ``manifest.csv`` (path, actor, label, frames, active_frames, md5) and the clips.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import (
    Manifest,
    atomic_path,
    census_table,
    make_video_entry,
    parallel_map,
    print_failures,
    run_main,
    write_annotations,
    write_json,
    write_video,
)
from tools.data.weizmann.planning import (
    FPS,
    Clip,
    Piece,
    annotate,
    lay_out,
    plan_video,
)

VERSION = 'weizmann-composed-3'
DISTRACTORS = ('walk', 'side')


def read_clips(source: Path) -> list[Clip]:
    """Read ``manifest.csv``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a column is missing or malformed.
    """
    path = source / 'manifest.csv'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; SRC must be the folder that holds it')
    clips = []
    with path.open(newline='', encoding='utf-8') as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                first, stop = (int(value) for value in row['active_frames'].split('-'))
                name, frames = row['path'], int(row['frames'])
                clips.append(
                    Clip(name, row['actor'], row['label'], first, stop, frames, row['md5'])
                )
            except (KeyError, ValueError, AttributeError) as error:
                raise ValueError(
                    f'{path}, line {number}: needs the columns path, actor, label, frames, '
                    f'active_frames (first-stop) and md5; got {row} ({error})'
                ) from error
    return clips


def plan_actor(
    clips: Sequence[Clip], distractors: Sequence[str], rng: np.random.Generator
) -> list[list[Piece]]:
    """Compose two videos that use every clip of one actor once, whole."""
    order = [clips[i] for i in rng.permutation(len(clips))]
    actions = [clip for clip in order if clip.label not in distractors]
    others = [clip for clip in order if clip.label in distractors]
    return [
        plan_video(rng, actions[half::2], others[half::2], order)
        for half in range(2)
        if actions[half::2]
    ]


def plan_videos(
    clips: Sequence[Clip], distractors: Sequence[str], rounds: int, seed: int
) -> dict[str, list[Piece]]:
    """Pieces of every video by id (``{actor}_{round}{half}``).

    Each round shows all clips once, in another order and with other poses between. A video does
    not depend on which actors are there besides.
    """
    plans = {}
    for actor in sorted({clip.actor for clip in clips}):
        own = sorted((clip for clip in clips if clip.actor == actor), key=lambda clip: clip.path)
        for number in range(rounds):
            rng = np.random.default_rng([seed, number, *actor.encode()])
            for half, pieces in zip('ab', plan_actor(own, distractors, rng)):
                plans[f'{actor}_{number}{half}'] = pieces
    return plans


def _render_one(task: tuple[Path, Path, list[Piece], dict[str, Clip], list[int]]) -> None:
    from tools.data.weizmann.rendering import ClipStore, render_frames

    source, path, pieces, clips, seed = task
    if path.exists():
        return
    frames = render_frames(np.random.default_rng(seed), ClipStore(source, clips), pieces)
    with atomic_path(path) as partial:
        write_video(partial, frames, FPS, crf=18)


def _path(video_id: str) -> str:
    return f'videos/{video_id}.mp4'


def _entry(video_id: str, pieces: list[Piece], subset: str) -> dict:
    _, frames = lay_out(pieces)
    path = _path(video_id)
    return make_video_entry(subset, frames / FPS, FPS, frames, path, annotate(pieces))


def fold_database(plans: dict[str, list[Piece]], held_out: Sequence[str]) -> dict[str, dict]:
    """The ``database`` of a fold, training videos first.

    All rounds of the other actors are for training, the first round of the held-out actors is
    for validation; their later rounds are in neither.
    """
    training, validation = {}, {}
    for video_id, pieces in plans.items():
        actor, number = video_id[:-1].rsplit('_', 1)
        if actor not in held_out:
            training[video_id] = _entry(video_id, pieces, 'training')
        elif number == '0':
            validation[video_id] = _entry(video_id, pieces, 'validation')
    return {**training, **validation}


def _provenance(plans: dict[str, list[Piece]]) -> dict[str, list[dict]]:
    content = {}
    for video_id, pieces in plans.items():
        begins, _ = lay_out(pieces)
        content[video_id] = [
            {'begin': begin, **asdict(piece)} for begin, piece in zip(begins, pieces)
        ]
    return content


def _write_folds(out: Path, plans: dict, folds: dict[str, list[str]], classes: list[str]) -> None:
    for name, held_out in folds.items():
        write_annotations(out / name, VERSION, classes, fold_database(plans, held_out))


def _print_census(
    plans: dict, folds: dict[str, list[str]], classes: list[str], rounds: int
) -> None:
    for i, held_out in enumerate(folds.values()):
        print(f'fold {i}: held out {", ".join(held_out)}')
        print(census_table(fold_database(plans, held_out), classes))
    print(
        f'semi-synthetic: every clip is shown once per round. The {rounds} training rounds repeat '
        'the same clips, they are no new instances; a validation clip is shown once.'
    )


def compose(args: argparse.Namespace) -> int:
    """Compose all videos and write one annotation file per fold; returns the exit code."""
    clips = read_clips(args.source)
    actors = sorted({clip.actor for clip in clips})[: args.limit]
    labels = sorted({clip.label for clip in clips})
    unknown = set(args.distractors) - set(labels)
    if unknown:
        raise ValueError(f'--distractors {sorted(unknown)} are not among the labels {labels}')
    if args.folds > len(actors):
        raise ValueError(f'--folds {args.folds} needs as many actors, there are {len(actors)}')
    classes = [label for label in labels if label not in args.distractors]
    clips = [clip for clip in clips if clip.actor in actors]
    plans = plan_videos(clips, args.distractors, args.rounds, args.seed)
    folds = {f'annotations_fold{i}.json': actors[i :: args.folds] for i in range(args.folds)}
    files = [*map(_path, plans), *folds, 'composition.json']
    arguments = {
        'version': VERSION,
        'seed': args.seed,
        'actors': actors,
        'folds': args.folds,
        'rounds': args.rounds,
        'distractors': sorted(args.distractors),
        'clips': {clip.path: clip.md5 for clip in clips},
    }
    manifest = Manifest(args.out, arguments)
    if manifest.is_complete():
        print(f'{args.out} is complete already (same arguments); delete it to compose it again')
        _print_census(plans, folds, classes, args.rounds)
        return 0
    manifest.begin(files)
    by_path = {clip.path: clip for clip in clips}
    tasks = {
        key: (
            args.source,
            args.out / _path(key),
            pieces,
            by_path,
            [args.seed, *key.encode()],
        )
        for key, pieces in plans.items()
    }
    _, failures = parallel_map(_render_one, tasks, args.workers, 'compose')
    if failures:
        return print_failures(failures)
    _write_folds(args.out, plans, folds, classes)
    write_json(args.out / 'composition.json', _provenance(plans))
    manifest.finish(files)
    _print_census(plans, folds, classes, args.rounds)
    print(f'written to {args.out}')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path, metavar='SRC', help='manifest.csv and the clips')
    parser.add_argument('--out', type=Path, default=Path('data/weizmann'), help='output folder')
    parser.add_argument('--folds', type=int, default=3, help='leave-actors-out folds')
    parser.add_argument('--rounds', type=int, default=3, help='compositions per training actor')
    parser.add_argument(
        '--distractors', nargs='*', default=list(DISTRACTORS), help='labels left unlabelled'
    )
    parser.add_argument('--limit', type=int, help='use only this many actors, for a quick look')
    parser.add_argument('--seed', type=int, default=0, help='seed of all compositions')
    parser.add_argument('--workers', type=int, default=2, help='processes')
    args = parser.parse_args(argv)
    if args.folds < 2 or args.rounds < 1:
        parser.error('--folds must be at least 2 and --rounds at least 1')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(compose, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
