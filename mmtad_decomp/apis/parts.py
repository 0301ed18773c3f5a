"""What was found in one part of the videos, in a file, and all parts put together again."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.utils import atomic_write, write_json

from .exports import FORMATS
from .outputs import DRAWN, drawn_file, output_files
from .results import VideoResult
from .video_inputs import VideoInput

PART_FILE = 'part.json'


class PartsError(ValueError):
    """Parts do not make up a whole; the message says why."""


def part_folder(folder: str | Path, number: int, count: int) -> Path:
    """Folder of a part, whose number is counted from 0; its name counts from 1."""
    return Path(folder, f'{number + 1}-of-{count}')


def earlier_files(folder: str | Path, videos: Sequence[VideoInput]) -> list[Path]:
    """Files that earlier runs of a part wrote into its folder, with whatever options."""
    files = [Path(folder, PART_FILE), *output_files(folder, videos, [*FORMATS], DRAWN)]
    return [file for file in files if os.path.isfile(file)]  # Path's raises for a long name


def begin_part(folder: str | Path, number: int, count: int, videos: Sequence[VideoInput]) -> Path:
    """Folder of a part that is to be done, or done again: from now on it is not complete.

    What an earlier run of the part wrote is removed, since the next one may write less, and
    :func:`find_drawn` cannot tell what is whose.

    Args:
        folder: Of the whole run.
        number: Of the part, counted from 0.
        count: Of the parts.
        videos: Videos of the part. None of them may be one of :func:`earlier_files`.
    """
    part = part_folder(folder, number, count)
    for file in earlier_files(part, videos):
        file.unlink()
    return part


def write_part(
    folder: str | Path,
    options: Mapping[str, str | float | None],
    videos: Sequence[VideoInput],
    results: Sequence[VideoResult],
    errors: Mapping[str, str],
) -> None:
    """Note that a part is complete, and what was found; to be called after all else is written.

    Args:
        folder: Of the part.
        options: Of the command line, by name; those that decide what is found. The parts of a run
            have the same.
        videos: Videos of the part, in order.
        results: Of those that could be read.
        errors: The message of each other one by its path.
    """
    found = [
        dict(
            video=asdict(result.video),
            duration=result.duration,
            fps=result.fps,
            classes=list(result.classes),
            detections=[column.tolist() for column in result.detections],
        )
        for result in results
    ]
    names = [video.path for video in videos]
    part = dict(options=dict(options), videos=names, results=found, errors=dict(errors))
    write_json(Path(folder, PART_FILE), part)


def join_parts(folder: str | Path) -> tuple[list[VideoResult], dict[str, str]]:
    """All results of a run in parts, in the order of a run without parts.

    Args:
        folder: Has the folders of the parts, such as ``1-of-4``.

    Returns:
        What was found, and the message of each broken video by its path.

    Raises:
        PartsError: If there is no part, one is missing, or they are of several runs.
    """
    files = _part_files(Path(folder))
    parts = [_read(path) for path in files]
    _demand_equal_options(files, parts)
    # Part i of n has every n-th video from the i-th on.
    names = [part['videos'] for part in parts]
    order = [name for row in zip_longest(*names) for name in row if name is not None]
    shared = all(order[i :: len(names)] == mine for i, mine in enumerate(names))
    if not shared or len({*order}) < len(order):
        raise PartsError(f'{folder}: the parts are of different lists of videos; run them again')
    results = {r.video.path: r for part in parts for r in part['results']}
    errors = dict(chain.from_iterable(part['errors'].items() for part in parts))
    return (
        [results[name] for name in order if name in results],
        {name: errors[name] for name in order if name in errors},
    )


def find_drawn(folder: str | Path, videos: Sequence[VideoInput]) -> dict[Path, Path]:
    """Pictures and annotated videos of the parts, by their place in the folder of the whole."""
    return {
        drawn_file(folder, video, ending): source
        for path in _part_files(Path(folder))
        for video in videos
        for ending in DRAWN
        if (source := drawn_file(path.parent, video, ending)).is_file()
    }


def copy_files(copies: Mapping[Path, Path]) -> Iterator[Path]:
    """Copy files.

    Args:
        copies: The originals by their copies.

    Yields:
        Each copy once it is whole.
    """
    for copy, source in copies.items():
        with open(source, 'rb') as original, atomic_write(copy) as file:
            shutil.copyfileobj(original, file)
        yield copy


def _part_files(folder: Path) -> list[Path]:
    """The files of all parts of a run, in order.

    Raises:
        PartsError: See :func:`join_parts`.
    """
    matches = (re.fullmatch(r'\d+-of-(\d+)', path.name) for path in folder.glob('*-of-*'))
    counts = sorted({int(match[1]) for match in matches if match})
    if not counts:
        raise PartsError(f'{folder} has no folder of a part, such as 1-of-4; name one that has')
    if len(counts) > 1:
        raise PartsError(
            f'{folder} has parts of runs in {" and in ".join(map(str, counts))} parts; remove '
            'those of all but one'
        )
    (count,) = counts
    files = [part_folder(folder, i, count) / PART_FILE for i in range(count)]
    missing = [path.parent.name for path in files if not path.is_file()]
    if missing:
        more = f' and {len(missing) - 10} more' if len(missing) > 10 else ''
        raise PartsError(
            f'{folder}: parts {", ".join(missing[:10])}{more} are missing or not complete '
            f'(no {PART_FILE}); run them, with the same --out-dir'
        )
    return files


def _demand_equal_options(files: Sequence[Path], parts: Sequence[dict]) -> None:
    """Raise ``PartsError`` where a part was made with other options than the first."""
    first = parts[0]['options']
    for path, part in zip(files, parts):
        for name in sorted({*first, *part['options']}):
            mine, other = part['options'].get(name), first.get(name)
            if mine != other:
                raise PartsError(
                    f'{path.parent} was made with {name} {mine}, {files[0].parent} with {other}; '
                    'run one of them again'
                )


def _read(path: Path) -> dict:
    """Content of a part's file, with ``results`` as :class:`VideoResult`.

    Raises:
        PartsError: If it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        content['options'] = dict(content['options'])
        content['results'] = [_result(entry) for entry in content['results']]
        done = {r.video.path for r in content['results']} | {*content['errors']}
        if done != {*content['videos']}:
            raise ValueError('results and videos differ')
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PartsError(f'{path} is damaged ({error}); run this part again') from error
    return content


def _result(entry: dict) -> VideoResult:
    segments, scores, labels = entry['detections']
    columns = Detections(
        np.asarray(segments, dtype=np.float64).reshape(-1, 2),
        np.asarray(scores, dtype=np.float64),
        np.asarray(labels, dtype=np.int64),
    )
    video = VideoInput(**entry['video'])
    return VideoResult(video, entry['duration'], entry['fps'], columns, entry['classes'])
