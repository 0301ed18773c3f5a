"""Flat tables of ground truth and predictions: one row per segment, all videos together."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

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


Table = TypeVar('Table', GroundTruth, Predictions)

_COLUMNS = dict(
    videos=(np.int64, ()),
    segments=(np.float64, (2,)),
    scores=(np.float64, ()),
    labels=(np.int64, ()),
)
"""Dtype of each column, and shape of its rows."""


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


def _check_rows(table: GroundTruth | Predictions, name: str, num_classes: int) -> None:
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


def check_table(table: Table, name: str, num_classes: int) -> Table:
    """Bring a table to its dtypes and shapes.

    Args:
        table: The columns.
        name: Name of the table, for messages.
        num_classes: Number of classes.

    Raises:
        ValueError: If a column has the wrong shape, length, range or kind of number, or a segment
            is reversed.
    """
    columns = {
        field: _column(values, f'{name}.{field}', *_COLUMNS[field])
        for field, values in table._asdict().items()
    }
    checked = type(table)(**columns)
    _check_rows(checked, name, num_classes)
    return checked


def check_problem(
    ground_truth: GroundTruth, predictions: Predictions, tious: object, num_classes: int
) -> tuple[GroundTruth, Predictions, np.ndarray]:
    """Both tables and the ``(T,)`` thresholds, checked.

    Raises:
        ValueError: If a table or a threshold is malformed.
    """
    thresholds = check_tious(tious)
    return (
        check_table(ground_truth, 'ground_truth', num_classes),
        check_table(predictions, 'predictions', num_classes),
        thresholds,
    )


def check_tious(tious: object) -> np.ndarray:
    """Thresholds as a float64 array.

    Raises:
        ValueError: If there is none, or one outside (0, 1].
    """
    array = np.asarray(tious, dtype=np.float64).reshape(-1)
    if not len(array) or not ((array > 0) & (array <= 1)).all():
        raise ValueError(f'tious must be one or more numbers in (0, 1], got {tious!r}')
    return array
