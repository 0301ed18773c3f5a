"""The annotation file that all scripts write, and the census that they print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .files import write_json

_SUBSETS = ('training', 'validation', 'testing')


def make_video_entry(
    subset: str,
    duration: float,
    fps: float,
    num_frames: int,
    path: str,
    annotations: Iterable[Mapping],
) -> dict:
    """One entry of the ``database``.

    Args:
        subset: ``'training'``, ``'validation'`` or ``'testing'``.
        duration: Seconds.
        fps: Frames per second of the stored video or frames.
        num_frames: Frames stored.
        path: Video file or frame folder, relative to the data root.
        annotations: Objects with ``segment`` ([start, end], seconds) and ``label``.
    """
    return {
        'subset': subset,
        'duration': duration,
        'fps': int(fps) if float(fps).is_integer() else float(fps),
        'frame': num_frames,
        'path': path,
        'annotations': [
            {'segment': list(item['segment']), 'label': item['label']} for item in annotations
        ],
    }


def write_annotations(
    path: str | Path, version: str, classes: Sequence[str], database: Mapping[str, dict]
) -> None:
    """Write an ActivityNet-style file atomically, videos in the order of ``database``."""
    content = {'version': version, 'classes': list(classes), 'database': dict(database)}
    write_json(path, content)


def census_table(database: Mapping[str, dict], classes: Sequence[str]) -> str:
    """Videos, hours and instances per subset and class, as a text table."""
    present = dict.fromkeys(video['subset'] for video in database.values())
    subsets = sorted(present, key=lambda s: _SUBSETS.index(s) if s in _SUBSETS else len(_SUBSETS))
    counts = {subset: Counter() for subset in subsets}
    for video in database.values():
        counts[video['subset']].update(item['label'] for item in video['annotations'])
    width = max([len(name) for name in classes] + [len('instances')])
    columns = [max(len(subset), 8) for subset in subsets]

    def row(name: str, values: Iterable[object]) -> str:
        cells = [f'{value!s:>{column}}' for value, column in zip(values, columns)]
        return '  '.join([f'{name:<{width}}', *cells])

    def of_subset(subset: str) -> list[dict]:
        return [video for video in database.values() if video['subset'] == subset]

    lines = [row('', subsets), row('videos', [len(of_subset(s)) for s in subsets])]
    minutes = [sum(video['duration'] for video in of_subset(s)) / 60 for s in subsets]
    lines.append(row('minutes', [f'{value:.1f}' for value in minutes]))
    lines.append(row('instances', [counts[s].total() for s in subsets]))
    lines += [row(name, [counts[s][name] for s in subsets]) for name in classes]
    return '\n'.join(lines)
