"""Plain-text tables for the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmtad_decomp.evaluation.functional import ProposalRecall, mean_over_classes
from mmtad_decomp.utils import format_table


def percent(value: float) -> str:
    """``0.12345`` as ``12.35``, NaN as ``-``."""
    return '-' if np.isnan(value) else f'{100 * value:.2f}'


def detection_table(
    tious: Sequence[float],
    groups: Mapping[str, np.ndarray],
    ap: np.ndarray,
    recall: Mapping[int, np.ndarray],
    classes: Sequence[str] | None = None,
) -> str:
    """AP and recall in percent: a column per threshold and per mean over a group of them.

    Args:
        tious: ``(T,)`` thresholds.
        groups: Positions of the thresholds of each named group.
        ap: ``(T, C)`` average precision.
        recall: ``(T, C)`` recall by multiple of the number of instances.
        classes: Names of the classes, for a row each; None shows the means only.
    """

    def row(name: str, values: np.ndarray) -> list[str]:
        means = [values[rows].mean() for rows in groups.values()]
        return [name, *map(percent, [*values, *means])]

    rows = [] if classes is None else [row(*pair) for pair in zip(classes, ap.T)]
    rows.append(row('mAP', mean_over_classes(ap)))
    rows += [row(f'recall@{k}x', mean_over_classes(values)) for k, values in recall.items()]
    return format_table(['', *(f'{tiou:g}' for tiou in tious), *groups], rows)


def proposal_table(tious: Sequence[float], numbers: Sequence[int], curve: ProposalRecall) -> str:
    """Recall in percent: a row per average number of proposals, a column per threshold.

    Args:
        tious: ``(T,)`` thresholds.
        numbers: Average numbers of proposals, see :meth:`ProposalRecall.at`.
        curve: The result.
    """
    rows = [
        [f'AR@{number}', *map(percent, column), percent(column.mean())]
        for number, column in ((number, curve.at(number)) for number in numbers)
    ]
    return format_table(['', *(f'{tiou:g}' for tiou in tious), 'average'], rows)
