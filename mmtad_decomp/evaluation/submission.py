"""Detections in ActivityNet's submission format."""

from __future__ import annotations

import contextlib
import gc
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from json import scanner
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmtad_decomp.annotations import label_of
from mmtad_decomp.annotations.content import as_names, label_values, list_some
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.utils import refuse_duplicates
from mmtad_decomp.utils.atomic import write_json


class SubmissionError(ValueError):
    """A submission file is malformed; the message names file, field and fix."""


@dataclass
class SubmissionCensus:
    """Counts of what was read and left out.

    Attributes:
        videos: Videos in the file.
        detections: Detections kept.
        ignored: Detections left out, by label, because the label is to be ignored.
        unknown: Detections left out, by label, because the label is not a class.
        reversed: Detections that end before they start. They are kept, as at their start and
            without length, so that they count as false positives.
    """

    videos: int = 0
    detections: int = 0
    ignored: Counter = field(default_factory=Counter)
    unknown: Counter = field(default_factory=Counter)
    reversed: int = 0


@dataclass(frozen=True)
class Submission:
    """Detections of a file.

    Attributes:
        path: The file.
        videos: Detections by video id, in the order of the file.
        census: Counts.
    """

    path: str
    videos: dict[str, Detections]
    census: SubmissionCensus


def write_submission(
    path: str | Path, videos: Mapping[str, Detections], classes: Sequence[str]
) -> None:
    """Write detections atomically, with every digit of their scores.

    Args:
        path: The JSON file.
        videos: Detections by video id.
        classes: Class names in label order.
    """
    results = {
        video_id: [
            dict(segment=segment, score=score, label=classes[label])
            for segment, score, label in zip(*(column.tolist() for column in detections))
        ]
        for video_id, detections in videos.items()
    }
    write_json(path, dict(version='mmtad_decomp 1.0', results=results, external_data={}))


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Parsing makes millions of objects and no cycles; looking for some doubles its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass
class _Rows:
    """Detections of a video.

    Attributes:
        segments: ``(N, 2)`` seconds.
        scores: ``(N,)``.
        labels: ``(N,)`` indices of classes, -1 for what is left out.
        ignored: As of :class:`SubmissionCensus`.
        unknown: As of :class:`SubmissionCensus`.
        wrong: The first detection whose label should be a class and is not, and that label.
    """

    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    ignored: Counter = field(default_factory=Counter)
    unknown: Counter = field(default_factory=Counter)
    wrong: tuple[int, Any] | None = None

    def __len__(self) -> int:
        """Number of detections in the file."""
        return len(self.labels)

    def kept(self, census: SubmissionCensus) -> Detections:
        """The detections that are not left out; the census counts."""
        census.ignored.update(self.ignored)
        census.unknown.update(self.unknown)
        columns = self.segments, self.scores, self.labels
        if self.ignored or self.unknown:
            keep = self.labels >= 0
            columns = self.segments[keep], self.scores[keep], self.labels[keep]
        segments = columns[0]
        backwards = segments[:, 1] < segments[:, 0]
        segments[backwards, 1] = segments[backwards, 0]
        census.detections += len(segments)
        census.reversed += int(backwards.sum())
        return Detections(*columns)


def _decode(text: str, convert: Callable[[list], Any]) -> Any:
    """Parse JSON, and convert each list as soon as it is read, but those in other lists.

    So the objects of one video exist at a time. The objects around the lists are parsed by the
    standard library's Python code, the lists by its C code.
    """
    decoder: Any = json.JSONDecoder()
    scan = decoder.scan_once

    def parse_array(place: tuple[str, int], _: Any) -> tuple[Any, int]:
        items, end = scan(place[0], place[1] - 1)
        return convert(items), end

    decoder.parse_array = parse_array
    decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text)


def _read_results(
    path: str | Path, convert: Callable[[list], _Rows | list]
) -> dict[str, _Rows | list]:
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
        content = _decode(text, convert)
        results = content.get('results') if isinstance(content, dict) else None
        kinds = (_Rows, list)
        if not isinstance(results, dict) or not all(
            isinstance(r, kinds) for r in results.values()
        ):
            raise SubmissionError(
                f'{path}: field "results" must map video ids to lists of detections'
            )
        if text.count('"segment"') != sum(map(len, results.values())):
            json.loads(text, object_pairs_hook=refuse_duplicates)
    except SubmissionError:
        raise
    except FileNotFoundError as error:
        raise SubmissionError(
            f'results file {path} does not exist; let the test write it (`dump_path` of TADMetric)'
        ) from error
    except OSError as error:
        raise SubmissionError(f'results file {path} cannot be read ({error})') from error
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f'results file {path} is not valid JSON: {error}') from error
    except KeyError as error:
        raise SubmissionError(
            f'{path}: key {error} occurs twice in one object, so that the detections of one of '
            'the two would be lost; merge them'
        ) from error
    return results


_NUMBERS = {int, float}


def _segments_and_scores(items: list) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns of detections that are all well-formed; None if one is not."""
    try:
        pairs = list(map(itemgetter('segment'), items))
        scores = list(map(itemgetter('score'), items))
        times = list(chain.from_iterable(pairs))
        types = {*map(type, scores), *map(type, times)}
        if types <= _NUMBERS and set(map(type, pairs)) <= {list} and set(map(len, pairs)) <= {2}:
            segments = np.array(times, dtype=np.float64).reshape(-1, 2)
            columns = segments, np.array(scores, dtype=np.float64)
            return columns if all(np.isfinite(column).all() for column in columns) else None
    except (KeyError, TypeError, OverflowError):
        pass
    return None


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBERS and abs(value) <= 1e308 and math.isfinite(value)


def _explain_fault(results: Mapping[str, list], path: str | Path) -> SubmissionError:
    """The error for the first malformed detection."""
    for video_id, items in results.items():
        for i, item in enumerate(items):
            where = f'{path}: video "{video_id}", detection {i}'
            if not isinstance(item, dict):
                return SubmissionError(f'{where} must be an object, got {item!r}')
            segment = item.get('segment')
            if (
                not isinstance(segment, list)
                or len(segment) != 2
                or not all(map(_is_number, segment))
            ):
                return SubmissionError(
                    f'{where}: needs "segment": [start, end] in seconds, two finite numbers; got '
                    f'{segment!r}'
                )
            if not _is_number(item.get('score')):
                return SubmissionError(
                    f'{where}: needs a finite number "score"; got {item.get("score")!r}'
                )
    return SubmissionError(f'{path}: the detections are malformed')


@dataclass(frozen=True)
class _Labels:
    """What becomes of the labels of a file.

    Attributes:
        index: Index of each class.
        fields: Fields that name the class.
        ignored: Labels whose detections are left out, if they are not classes.
        drop_unknown: Leave out those of all other labels, too.
    """

    index: Mapping[str, int]
    fields: tuple[str, ...]
    ignored: frozenset[str]
    drop_unknown: bool

    def names(self, items: list[dict]) -> list[Any]:
        """The label of each detection, a string; None where it has none."""
        if self.fields != ('label',):
            return [label_of(item, self.fields) for item in items]
        names: list[Any] = [item.get('label') for item in items]
        if not set(map(type, names)) <= {str}:
            names = [name if isinstance(name, str) else None for name in names]
        return names

    def rows(self, items: list) -> _Rows | list:
        """A video's detections as columns; ``items`` if one of them is malformed."""
        columns = _segments_and_scores(items)
        if columns is None:
            return items
        names = self.names(items)
        labels = np.array([self.index.get(name, -1) for name in names], dtype=np.int64)
        rows = _Rows(*columns, labels)
        for row in np.flatnonzero(labels < 0).tolist():
            name = names[row]
            if name in self.ignored:
                rows.ignored[name] += 1
            elif name is not None and self.drop_unknown:
                rows.unknown[name] += 1
            elif rows.wrong is None:
                rows.wrong = row, label_values(items[row], self.fields) if name is None else name
        return rows

    def error(self, place: str, wrong: tuple[int, Any]) -> SubmissionError:
        """The error for a detection whose label is not a class."""
        row, got = wrong
        one = self.fields == ('label',)
        what = 'field "label"' if one else f'label of {list(self.fields)}'
        fix = 'use the annotations that the results were made with'
        if not one:
            fields = ','.join(self.fields)
            fix += f', or name the fields of the detections, such as --labels {fields}:label'
        return SubmissionError(
            f'{place}, detection {row}: {what} is {got!r}, not one of the {len(self.index)} '
            f'classes {list_some(self.index)}; {fix}'
        )


def read_submission(
    path: str | Path,
    classes: Sequence[str],
    ignore_labels: str | Sequence[str] = (),
    label_fields: str | Sequence[str] = ('label',),
    drop_unknown_labels: bool = False,
) -> Submission:
    """Read detections, and count what is odd.

    Args:
        path: The JSON file.
        classes: Class names in label order.
        ignore_labels: Label or labels whose detections are left out and counted, if they are not
            classes.
        label_fields: Field or fields that name the class, as of
            :func:`mmtad_decomp.annotations.load_annotations`.
        drop_unknown_labels: Leave out and count detections of labels that are not classes, in
            place of an error.

    Raises:
        SubmissionError: If the file is missing or malformed, names a video twice, holds NaN, or
            has an unknown label.
    """
    index = {name: i for i, name in enumerate(classes)}
    ignored = frozenset(as_names(ignore_labels))
    rules = _Labels(index, as_names(label_fields), ignored, drop_unknown_labels)
    with _without_garbage_collection():
        results = _read_results(path, rules.rows)
    malformed = {name: rows for name, rows in results.items() if isinstance(rows, list)}
    if malformed:
        raise _explain_fault(malformed, path)
    census = SubmissionCensus(videos=len(results))
    videos = {}
    for name, rows in results.items():
        assert isinstance(rows, _Rows)
        if rows.wrong is not None:
            raise rules.error(f'{path}: video "{name}"', rows.wrong)
        videos[name] = rows.kept(census)
    return Submission(str(path), videos, census)


def load_submission(path: str | Path, classes: Sequence[str]) -> dict[str, Detections]:
    """Read detections.

    Args:
        path: The JSON file.
        classes: Class names in label order.

    Returns:
        Detections by video id, in the order of the file.

    Raises:
        SubmissionError: As of :func:`read_submission`.
    """
    return read_submission(path, classes).videos
