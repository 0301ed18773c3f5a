"""Flat tables of ground truth and predictions: one row per segment, all videos together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class GroundTruth(NamedTuple):
    """Annotated instances.

    Attributes:
        videos: ``(G,)`` int, any numbering of the videos.
        segments: ``(G, 2)`` float64 seconds, end >= start.
        labels: ``(G,)`` int, in ``[0, num_classes)``.
    """

    videos: np.ndarray
    segments: np.ndarray
    labels: np.ndarray


class Predictions(NamedTuple):
    """Detections.

    Attributes:
        videos: ``(P,)`` int, in the numbering of the ground truth.
        segments: ``(P, 2)`` float64 seconds, end >= start.
        scores: ``(P,)`` float64.
        labels: ``(P,)`` int, in ``[0, num_classes)``.
    """

    videos: np.ndarray
    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def _column(values: object, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0:
        array = array.reshape(0, *shape)
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        wanted = ('N', *map(str, shape))
        raise ValueError(f'{name} must have shape ({", ".join(wanted)}), got {array.shape}')
    if dtype is np.int64 and array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f'{name} must be integers, got {array.dtype}')
    array = array.astype(dtype, copy=False)
    if dtype is np.float64 and not np.isfinite(array).all():
        raise ValueError(f'{name} must be finite, got NaN or infinity')
    return array


def _check_table(table: GroundTruth | Predictions, name: str, num_classes: int) -> None:
    lengths = {len(column) for column in table}
    if len(lengths) > 1:
        sizes = {field: len(column) for field, column in zip(table._fields, table)}
        raise ValueError(f'{name}: columns differ in length: {sizes}')
    if len(table.labels) and not (table.labels.min() >= 0 and table.labels.max() < num_classes):
        raise ValueError(
            f'{name}.labels must be in [0, {num_classes}), got '
            f'[{table.labels.min()}, {table.labels.max()}]'
        )
    reversed_rows = np.flatnonzero(table.segments[:, 1] < table.segments[:, 0])
    if len(reversed_rows):
        row = int(reversed_rows[0])
        raise ValueError(
            f'{name}.segments: {len(reversed_rows)} of {len(table.labels)} end before they start, '
            f'the first in row {row}: {table.segments[row].tolist()}; columns are start and end'
        )


def check_ground_truth(table: GroundTruth, num_classes: int) -> GroundTruth:
    """Bring a table to its dtypes and shapes.

    Raises:
        ValueError: If a column has the wrong shape, length, range or kind of number, or a segment
            is reversed.
    """
    checked = GroundTruth(
        _column(table.videos, 'ground_truth.videos', np.int64, ()),
        _column(table.segments, 'ground_truth.segments', np.float64, (2,)),
        _column(table.labels, 'ground_truth.labels', np.int64, ()),
    )
    _check_table(checked, 'ground_truth', num_classes)
    return checked


def check_predictions(table: Predictions, num_classes: int) -> Predictions:
    """Bring a table to its dtypes and shapes.

    Raises:
        ValueError: If a column has the wrong shape, length, range or kind of number, or a segment
            is reversed.
    """
    checked = Predictions(
        _column(table.videos, 'predictions.videos', np.int64, ()),
        _column(table.segments, 'predictions.segments', np.float64, (2,)),
        _column(table.scores, 'predictions.scores', np.float64, ()),
        _column(table.labels, 'predictions.labels', np.int64, ()),
    )
    _check_table(checked, 'predictions', num_classes)
    return checked


def check_tious(tious: object) -> np.ndarray:
    """Thresholds as a float64 array.

    Raises:
        ValueError: If there is none, or one outside (0, 1].
    """
    array = np.asarray(tious, dtype=np.float64).reshape(-1)
    if not len(array) or not ((array > 0) & (array <= 1)).all():
        raise ValueError(f'tious must be one or more numbers in (0, 1], got {tious!r}')
    return array
