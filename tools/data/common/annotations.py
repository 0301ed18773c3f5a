"""The annotation file that all scripts write, and the census that they print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .files import read_json, write_json

_NUMBER = re.compile(r'\d+')
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


def read_database(path: str | Path, fields: Sequence[str]) -> dict[str, dict]:
    """Read the ``database`` of an ActivityNet-style file.

    Args:
        path: JSON file.
        fields: Fields that every video must have.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is malformed, or a video lacks a field or has one of another type.
    """
    from mmtad_decomp.annotations import load_annotations

    database = read_json(path).get('database')
    if not isinstance(database, dict):
        raise ValueError(f'{path}: field "database" must map video ids to videos')
    for video_id, video in database.items():
        missing = [name for name in fields if not isinstance(video, dict) or name not in video]
        if missing:
            raise ValueError(f'{path}: video "{video_id}" lacks the fields {missing}; add them')
    if not database:
        raise ValueError(f'{path}: field "database" names no video; add some')
    load_annotations(path, content={'database': database})
    return database


def write_annotations(
    path: str | Path, version: str, classes: Sequence[str], database: Mapping[str, dict]
) -> None:
    """Write an ActivityNet-style file atomically, videos in the order of ``database``."""
    content = {'version': version, 'classes': list(classes), 'database': dict(database)}
    write_json(path, content)


def refuse_other_annotations(target: Path, version: str) -> None:
    """Refuse to replace an annotation file that the command did not write.

    It is known by its ``version``, whose numbers may be others: of an earlier version of the
    command, or of another census.

    Args:
        target: The file that will be written.
        version: Its ``version``.

    Raises:
        ValueError: If ``target`` is there and has another one, or none.
    """
    if not target.is_file():
        return
    try:
        found = read_json(target).get('version')
    except ValueError:  # no JSON
        found = None
    if not isinstance(found, str) or _NUMBER.sub('0', found) != _NUMBER.sub('0', version):
        raise ValueError(
            f'{target} would be replaced, but this command did not make it (its "version" is not '
            f'such as {version!r}); move it away, or name another --out'
        )


def census_table(database: Mapping[str, dict], classes: Sequence[str]) -> str:
    """Videos, hours and instances per subset and class, as a text table."""
    present = dict.fromkeys(video['subset'] for video in database.values())
    subsets = sorted(present, key=lambda s: _SUBSETS.index(s) if s in _SUBSETS else len(_SUBSETS))
    counts: dict[str, Counter[str]] = {subset: Counter() for subset in subsets}
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
