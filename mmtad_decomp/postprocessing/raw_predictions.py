"""The candidates of a test before any suppression, in a file that is read video by video."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtad_decomp.utils import ARCHIVE_ERRORS, atomic_write

from .detections import Detections

_VERSION = 1
_HEADER = ('version', 'classes', 'video_ids', 'durations', 'window_counts', 'spans')


class RawPredictionError(ValueError):
    """A file of raw predictions is malformed; the message names file and fix."""


class VideoCandidates(NamedTuple):
    """Candidates of one video.

    Attributes:
        video_id: The video.
        duration: Its length in seconds.
        windows: Candidates of each window, in seconds of the whole video.
        spans: ``(W, 2)`` start and end of each window in seconds; NaN where not known.
    """

    video_id: str
    duration: float
    windows: Sequence[Detections]
    spans: np.ndarray


def _narrow(column: np.ndarray) -> np.ndarray:
    """Float32 if that loses nothing, else float64."""
    with np.errstate(over='ignore'):
        single = column.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), column) else column


def _table(windows: Sequence[Detections]) -> np.ndarray:
    """One row per candidate, with the number of its window."""
    counts = [len(window.scores) for window in windows]
    segments = np.concatenate([np.zeros((0, 2)), *(w.segments for w in windows)])
    scores = np.concatenate([np.zeros(0), *(w.scores for w in windows)])
    segments, scores = _narrow(segments), _narrow(scores)
    kind = [
        ('segment', segments.dtype, (2,)),
        ('score', scores.dtype),
        ('label', np.int32),
        ('window', np.int32),
    ]
    table = np.empty(len(scores), dtype=kind)
    table['segment'], table['score'] = segments, scores
    table['label'] = np.concatenate([np.zeros(0, dtype=np.int64), *(w.labels for w in windows)])
    table['window'] = np.repeat(np.arange(len(windows)), counts)
    return table


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(zipfile.ZipInfo(f'{name}.npy'), 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def write_raw_predictions(
    path: str | Path, classes: Sequence[str], videos: Iterable[VideoCandidates]
) -> None:
    """Write candidates atomically, one video at a time, with every digit of their scores.

    The file is an ``.npz`` that :func:`numpy.load` opens too. ``candidates/<i>`` is the table of
    video i: ``segment`` (start, end in seconds), ``score``, ``label`` and ``window`` (its number).
    Segments and scores are float32 where that is exact and float64 elsewhere. ``classes``,
    ``video_ids``, ``durations``, ``window_counts`` and ``spans`` (of all videos' windows, one
    after the other) describe the rest.

    Args:
        path: The file, ``.npz``.
        classes: Class names in label order.
        videos: The videos, in the order in which results are to list them.

    Raises:
        ValueError: If the name does not end in ``.npz``.
    """
    if Path(path).suffix != '.npz':
        raise ValueError(f'raw predictions are written as .npz, got {path}')
    ids, durations, counts, spans = [], [], [], [np.zeros((0, 2))]
    with atomic_write(path) as file, zipfile.ZipFile(file, 'w') as archive:
        for i, video in enumerate(videos):
            _add(archive, f'candidates/{i}', _table(video.windows))
            ids.append(video.video_id)
            durations.append(video.duration)
            counts.append(len(video.windows))
            spans.append(np.asarray(video.spans, dtype=np.float64).reshape(-1, 2))
        header = (
            np.array(_VERSION),
            np.array(list(classes), dtype=np.str_),
            np.array(ids, dtype=np.str_),
            np.array(durations, dtype=np.float64),
            np.array(counts, dtype=np.int64),
            np.concatenate(spans),
        )
        for name, array in zip(_HEADER, header):
            _add(archive, name, array)


class RawPredictions:
    """A file of raw predictions, of which one video at a time is in memory.

    Use it in a ``with`` statement, or call :meth:`close`.

    Args:
        path: The file.

    Attributes:
        path: The file.
        classes: Class names in label order.
        video_ids: Videos in the order of the file.
        has_labels: True: every candidate has a label.

    Raises:
        RawPredictionError: If the file is missing or malformed.
    """

    has_labels = True

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._archive = np.load(self.path, allow_pickle=False)
        except FileNotFoundError as error:
            raise RawPredictionError(
                f'raw predictions {path} do not exist; let a test write them (`raw_path` of '
                'TADMetric)'
            ) from error
        except ARCHIVE_ERRORS as error:
            raise RawPredictionError(
                f'{path} is no .npz file ({error}); let the test write it again'
            ) from error
        if isinstance(self._archive, np.ndarray):
            raise RawPredictionError(f'{path} is a single array, not a file of raw predictions')
        version, classes, ids, durations, counts, spans = (self._member(n) for n in _HEADER)
        if version != _VERSION:
            raise RawPredictionError(
                f'{path}: version {version} is not known, only {_VERSION}; use the release that '
                'wrote it'
            )
        self.classes = tuple(classes.tolist())
        self.video_ids = tuple(ids.tolist())
        self._durations = durations
        self._spans = np.split(spans, np.cumsum(counts)[:-1]) if len(counts) else []
        self._index = {video_id: i for i, video_id in enumerate(self.video_ids)}

    def __enter__(self) -> RawPredictions:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._index

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def read(self, video_id: str) -> VideoCandidates:
        """Read the candidates of one video.

        Raises:
            RawPredictionError: If the file does not have it.
        """
        if video_id not in self._index:
            raise RawPredictionError(f'{self.path} has no video "{video_id}"')
        i = self._index[video_id]
        table, spans = self._member(f'candidates/{i}'), self._spans[i]
        stops = np.cumsum(np.bincount(table['window'], minlength=len(spans)))
        columns = (
            table['segment'].astype(np.float64),
            table['score'].astype(np.float64),
            table['label'].astype(np.int64),
        )
        parts = zip(*(np.split(column, stops[:-1]) for column in columns))
        windows = [Detections(*part) for part in parts] if len(spans) else []
        return VideoCandidates(video_id, float(self._durations[i]), windows, spans)

    def _member(self, name: str) -> np.ndarray:
        try:
            return self._archive[name]
        except (*ARCHIVE_ERRORS, MemoryError) as error:
            raise RawPredictionError(
                f'{self.path}: array "{name}" is missing or broken ({error}); this is no file of '
                'raw predictions, or a damaged one: let the test write it again'
            ) from error
