"""Detections in the formats of other programs."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

from mmtad_decomp.utils import as_unicode, atomic_write, path_below

from .results import VideoResult
from .video_inputs import VideoInput


class ExportError(ValueError):
    """Detections cannot be written; the message names the file and how to fix it."""


def submission_text(results: Sequence[VideoResult]) -> str:
    """ActivityNet's submission format, with the videos' files and lengths beside it."""
    content = dict(
        version='mmtad_decomp 1.0',
        results={result.video.video_id: result.rows() for result in results},
        external_data={},
        videos={
            result.video.video_id: dict(path=result.video.path, duration=result.duration)
            for result in results
        },
    )
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)


def csv_text(results: Sequence[VideoResult]) -> str:
    """A table with one row for each detection: video, start, end, label, score."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator='\n')
    table.writerow(['video', 'start', 'end', 'label', 'score'])
    for result in results:
        for row in result.rows():
            start, end = row['segment']
            table.writerow(
                [
                    result.video.path,
                    f'{start:.3f}',
                    f'{end:.3f}',
                    row['label'],
                    f'{row["score"]:.4f}',
                ]
            )
    return file.getvalue()


def webvtt_text(results: Sequence[VideoResult]) -> str:
    """Subtitles of one video for browsers (WebVTT), one cue for each detection."""
    cues = [
        f'{_cue_times(row["segment"], ".")}\n{_escaped(_cue_text(row))}\n'
        for row in _by_time(results[0])
    ]
    return '\n'.join(['WEBVTT\n', *cues])


def srt_text(results: Sequence[VideoResult]) -> str:
    """Subtitles of one video for players (SubRip), one for each detection."""
    cues = [
        f'{number}\n{_cue_times(row["segment"], ",")}\n{_cue_text(row)}\n'
        for number, row in enumerate(_by_time(results[0]), start=1)
    ]
    return '\n'.join(cues)


def elan_text(results: Sequence[VideoResult]) -> str:
    """An ELAN document (EAF 3.0) of one video: one tier for each class, times in milliseconds.

    Annotations of a tier must not overlap in ELAN. Of overlapping detections of a class the best
    stays in the tier of the class, the next goes to the tier ``<class> 2``, and so on. Values are
    class names, as people annotate them; the scores are in a dependent tier, ``<tier> score``.
    """
    (result,) = results
    xsi = 'http://www.w3.org/2001/XMLSchema-instance'
    root = ElementTree.Element(
        'ANNOTATION_DOCUMENT',
        {
            'AUTHOR': 'mmtad_decomp',
            'DATE': datetime.now(timezone.utc).isoformat(timespec='seconds'),
            'FORMAT': '3.0',
            'VERSION': '3.0',
            'xmlns:xsi': xsi,
            'xsi:noNamespaceSchemaLocation': 'http://www.mpi.nl/tools/elan/EAFv3.0.xsd',
        },
    )
    header = ElementTree.SubElement(root, 'HEADER', MEDIA_FILE='', TIME_UNITS='milliseconds')
    path = result.video.path
    url = path if '://' in path else Path(path).resolve().as_uri()
    media = dict(MEDIA_URL=url, MIME_TYPE=_mime_type(Path(path)))
    ElementTree.SubElement(header, 'MEDIA_DESCRIPTOR', media)
    order = ElementTree.SubElement(root, 'TIME_ORDER')
    tiers = _tiers(result)
    numbers = count(1, 2)
    for (name, rows), score_name in zip(tiers.items(), _score_tiers(tiers)):
        kinds = dict(TIER_ID=name, LINGUISTIC_TYPE_REF='default-lt')
        tier = ElementTree.SubElement(root, 'TIER', kinds)
        kinds = dict(TIER_ID=score_name, LINGUISTIC_TYPE_REF='score', PARENT_REF=name)
        score_tier = ElementTree.SubElement(root, 'TIER', kinds)
        for row in rows:
            first = next(numbers)
            for number, time in enumerate(_milliseconds(row['segment']), start=first):
                slot = dict(TIME_SLOT_ID=f'ts{number}', TIME_VALUE=str(time))
                ElementTree.SubElement(order, 'TIME_SLOT', slot)
            ends = dict(TIME_SLOT_REF1=f'ts{first}', TIME_SLOT_REF2=f'ts{first + 1}')
            _annotate(tier, 'ALIGNABLE_ANNOTATION', f'a{first}', row['label'], ends)
            parent = dict(ANNOTATION_REF=f'a{first}')
            score = f'{row["score"]:.2f}'
            _annotate(score_tier, 'REF_ANNOTATION', f'a{first + 1}', score, parent)
    for kind, attributes in _ELAN_TYPES:
        ElementTree.SubElement(root, kind, attributes)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, 'unicode')


_ELAN_TYPES = (
    (
        'LINGUISTIC_TYPE',
        dict(LINGUISTIC_TYPE_ID='default-lt', TIME_ALIGNABLE='true', GRAPHIC_REFERENCES='false'),
    ),
    (
        'LINGUISTIC_TYPE',
        dict(
            LINGUISTIC_TYPE_ID='score',
            TIME_ALIGNABLE='false',
            GRAPHIC_REFERENCES='false',
            CONSTRAINTS='Symbolic_Association',
        ),
    ),
    (
        'CONSTRAINT',
        dict(
            STEREOTYPE='Symbolic_Association',
            DESCRIPTION='1-1 association with a parent annotation',
        ),
    ),
)
"""Types of the tiers: of the classes, and of the scores."""


def _annotate(
    tier: ElementTree.Element, kind: str, identifier: str, text: str, place: dict[str, str]
) -> None:
    attributes = dict(ANNOTATION_ID=identifier, **place)
    parent = ElementTree.SubElement(tier, 'ANNOTATION')
    annotation = ElementTree.SubElement(parent, kind, attributes)
    ElementTree.SubElement(annotation, 'ANNOTATION_VALUE').text = text


def label_studio_text(results: Sequence[VideoResult]) -> str:
    """Tasks with predictions for Label Studio's ``TimelineLabels``, one for each video.

    The labelling interface has ``<Video name="video" value="$video"/>`` and
    ``<TimelineLabels name="actions" toName="video">``. Its ranges are frames, counted from 1, at
    the rate at which the video was sampled: state it as ``frameRate`` of the tag ``Video``, as the
    field ``fps`` of each task does.
    """
    tasks = []
    for result in results:
        path = as_unicode(result.video.path)
        regions = [
            dict(
                id=uuid.uuid5(uuid.NAMESPACE_URL, f'{path}#{i}').hex[:10],
                type='timelinelabels',
                from_name='actions',
                to_name='video',
                origin='prediction',
                value=dict(
                    ranges=[_frame_range(row['segment'], result.fps)],
                    timelinelabels=[row['label']],
                ),
                score=row['score'],
            )
            for i, row in enumerate(result.rows())
        ]
        scores = [row['score'] for row in result.rows()]
        prediction = dict(
            model_version='mmtad_decomp',
            score=sum(scores) / len(scores) if scores else 0.0,
            result=regions,
        )
        data = dict(video=path, duration=result.duration, fps=result.fps)
        tasks.append(dict(data=data, predictions=[prediction]))
    return json.dumps(tasks, indent=1, allow_nan=False, ensure_ascii=False)


FORMATS: dict[str, tuple[str, bool, Callable[[Sequence[VideoResult]], str]]] = {
    'json': ('detections.json', False, submission_text),
    'csv': ('detections.csv', False, csv_text),
    'label-studio': ('label_studio.json', False, label_studio_text),
    'vtt': ('{}.vtt', True, webvtt_text),
    'srt': ('{}.srt', True, srt_text),
    'elan': ('{}.eaf', True, elan_text),
}
"""File name, whether there is one for each video, and writer of each format."""


def export_files(
    folder: str | Path, videos: Sequence[VideoInput], formats: Sequence[str]
) -> list[Path]:
    """Files that :func:`export` writes, in its order.

    Raises:
        ExportError: If a format is not known.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ExportError(f'unknown format {unknown[0]!r}; use {", ".join(FORMATS)}')
    files = []
    for pattern, by_video, _ in (FORMATS[name] for name in formats):
        names = [pattern.format(v.video_id) for v in videos] if by_video else [pattern]
        files += [path_below(folder, name) for name in names]
    return files


def export(
    folder: str | Path, results: Sequence[VideoResult], formats: Sequence[str]
) -> list[Path]:
    """:func:`export_each` at once; returns the files."""
    return list(export_each(folder, results, formats))


def export_each(
    folder: str | Path, results: Sequence[VideoResult], formats: Sequence[str]
) -> Iterator[Path]:
    """Write detections into a folder; every file is written whole or not at all.

    Args:
        folder: Where to write; made where it is missing.
        results: Detections of the videos.
        formats: Names in :data:`FORMATS`.

    Yields:
        Each file once it is written.

    Raises:
        ExportError: If a format is not known.
    """
    files = export_files(folder, [result.video for result in results], formats)
    remaining = iter(files)
    for _, by_video, text in (FORMATS[name] for name in formats):
        for part in [[result] for result in results] if by_video else [results]:
            file = next(remaining)
            _write(file, text(part))
            yield file


def write_results(path: str | Path, results: Sequence[VideoResult]) -> None:
    """Write one file: ActivityNet's ``.json``, ``.csv``, ``.vtt``, ``.srt`` or ELAN's ``.eaf``.

    Raises:
        ExportError: See :func:`demand_format`.
    """
    _, _, text = FORMATS[demand_format(path, len(results))]
    _write(path, text(results))


def demand_format(path: str | Path, num_videos: int) -> str:
    """The format that the ending of a file tells, a name in :data:`FORMATS`.

    Args:
        path: The file.
        num_videos: Videos whose detections it is to hold.

    Raises:
        ExportError: If the ending is not known, or tells a format for one video, and there are
            several or none.
    """
    endings = {Path(pattern).suffix: name for name, (pattern, *_) in reversed(FORMATS.items())}
    name = endings.get(Path(path).suffix.lower())
    if name is None:
        raise ExportError(f'{path}: unknown ending; use one of {", ".join(sorted(endings))}')
    _, by_video, _ = FORMATS[name]
    if by_video and num_videos != 1:
        raise ExportError(
            f'{path}: this format holds one video, there are {num_videos}; write .json or .csv'
        )
    return name


def _write(path: str | Path, text: str) -> None:
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        file.write(as_unicode(text))


def _by_time(result: VideoResult) -> list[dict]:
    return sorted(result.rows(), key=lambda row: (row['segment'], -row['score']))


def _cue_times(segment: Sequence[float], point: str) -> str:
    """Begin and end of a subtitle."""
    return ' --> '.join(_clock(time, point) for time in _milliseconds(segment))


def _cue_text(row: dict) -> str:
    """Class name and score in one line: an empty line would end the subtitle."""
    return f'{" ".join(row["label"].split())} {row["score"]:.2f}'


def _clock(milliseconds: int, point: str) -> str:
    """``HH:MM:SS.mmm``."""
    minutes, milliseconds = divmod(milliseconds, 60_000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f'{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{point}{milliseconds:03}'


def _escaped(text: str) -> str:
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _mime_type(path: Path) -> str:
    known = {
        '.mp4': 'video/mp4',
        '.mov': 'video/quicktime',
        '.mpg': 'video/mpeg',
        '.mpeg': 'video/mpeg',
    }
    return known.get(path.suffix.lower(), 'unknown')


def _milliseconds(segment: Sequence[float]) -> tuple[int, int]:
    """Begin and end; no subtitle and no annotation of ELAN is shorter than one millisecond."""
    start, end = (round(1000 * second) for second in segment)
    return start, max(end, start + 1)


def _tiers(result: VideoResult) -> dict[str, list[dict]]:
    """Rows by tier, in each by time and without overlap."""
    tiers: dict[str, list[dict]] = {}
    for row in result.rows():  # the best first
        number = 1
        while True:
            name = row['label'] if number == 1 else f'{row["label"]} {number}'
            start, end = _milliseconds(row['segment'])
            others = [_milliseconds(other['segment']) for other in tiers.get(name, ())]
            if all(end <= low or high <= start for low, high in others):
                break
            number += 1
        tiers.setdefault(name, []).append(row)
    return {name: sorted(rows, key=lambda row: row['segment']) for name, rows in tiers.items()}


def _score_tiers(tiers: Collection[str]) -> list[str]:
    """Names of the tiers of scores; a class may be called like one."""
    names: list[str] = []
    for tier in tiers:
        name = f'{tier} score'
        while name in tiers or name in names:
            name += ' score'
        names.append(name)
    return names


def _frame_range(segment: Sequence[float], fps: float) -> dict[str, int]:
    """First and last frame of a segment, counted from 1."""
    start = int(segment[0] * fps + 0.5) + 1
    return dict(start=start, end=max(start, int(segment[1] * fps + 0.5)))
