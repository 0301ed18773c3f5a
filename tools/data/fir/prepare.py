"""Prepare FIR-Image-Action: its five motion classes and its videos' true clocks.

Example:
    python tools/data/fir/prepare.py path/to/fir --out data/fir

SRC holds ``annotations.json`` and ``videos/<id>.mp4``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import (
    VideoError,
    VideoInfo,
    atomic_path,
    census_table,
    make_video_entry,
    parallel_map,
    print_failures,
    probe_video,
    read_database,
    run_main,
    write_annotations,
)

VERSION = 'fir-motion-1'
CLASSES = ('walk', 'standup', 'sitdown', 'falling', 'lying')
STATES = ('sit', 'falled', 'sleeping', 'active')
UNCERTAIN = ('20200626_161431', '20200626_175151', '20200627_185209')

# A file whose length differs by more than this many seconds is not the annotated video.
_LENGTH_TOLERANCE = 0.5


def _check_length(task: tuple[Path, float]) -> VideoInfo:
    path, duration = task
    info = probe_video(path)
    if abs(info.duration - duration) > _LENGTH_TOLERANCE:
        raise VideoError(
            f'{path}: lasts {info.duration:.2f} s, but the annotation says {duration:.2f} s; '
            'it is another video, or cut'
        )
    return info


def _motion_instances(video_id: str, video: dict, source: Path) -> list[dict]:
    instances = []
    for i, item in enumerate(video['annotations']):
        if item['label'] in CLASSES:
            instances.append(item)
        elif item['label'] not in STATES:
            raise ValueError(
                f'{source}: video "{video_id}", annotations[{i}]: label "{item["label"]}" is '
                f'neither one of the classes {CLASSES} nor of the states {STATES}'
            )
    return instances


def _place_video(source: Path, target: Path, copy: bool) -> None:
    with atomic_path(target) as partial:
        if copy:
            shutil.copyfile(source, partial)
        else:
            partial.unlink(missing_ok=True)
            os.symlink(source.resolve(), partial)


def _report_clock(database: dict[str, dict], infos: dict[str, VideoInfo]) -> None:
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


def prepare(args: argparse.Namespace) -> int:
    """Check the videos of SRC, and write annotations and videos.

    Returns:
        Exit code: 0, or 1 if a video failed (nothing is written then).
    """
    source, out, exclude_uncertain = args.source, args.out, args.exclude_uncertain
    fields = ('subset', 'duration', 'annotations')
    raw = read_database(source / 'annotations.json', fields)
    uncertain = [key for key in raw if key.startswith(UNCERTAIN)]
    kept = {k: v for k, v in raw.items() if not (exclude_uncertain and k in uncertain)}
    paths = {key: source / 'videos' / f'{key}.mp4' for key in kept}
    tasks = {key: (paths[key], float(video['duration'])) for key, video in kept.items()}
    infos, failures = parallel_map(_check_length, tasks, 1, 'check')
    if failures:
        return print_failures(failures)
    database = {}
    for key, video in kept.items():
        info, name = infos[key], f'videos/{key}.mp4'
        instances = _motion_instances(key, video, source / 'annotations.json')
        database[key] = make_video_entry(
            video['subset'], info.duration, float(info.fps), info.num_frames, name, instances
        )
        _place_video(paths[key], out / name, args.copy)
    write_annotations(out / 'annotations.json', VERSION, CLASSES, database)
    _report_clock(kept, infos)
    print(census_table(database, CLASSES))
    print(f'timing least certain ({"left out" if exclude_uncertain else "kept"}):')
    for key in uncertain:
        print(f'  {key} ({raw[key]["subset"]})')
    print(f'written to {out}')
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source', type=Path, metavar='SRC', help='annotations.json and videos/')
    parser.add_argument('--out', type=Path, default=Path('data/fir'), help='output folder')
    parser.add_argument('--copy', action='store_true', help='copy the videos, do not link them')
    parser.add_argument(
        '--exclude-uncertain',
        action='store_true',
        help='leave out the three videos whose timing is least certain',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(prepare, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
