"""The best detections of several models against ground truth, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mmtad_decomp.evaluation.functional.grouping import near_pairs
from mmtad_decomp.postprocessing import Detections

from .timeline import (
    GROUND_TRUTH,
    MAX_LANES,
    PALETTE,
    check_drawing,
    label_rows,
    lanes_of,
    stack_panels,
)
from .titles import names_as_written, title_figure

_ROW_INCHES, _FRAME_INCHES = 0.62, 0.85


def _draw_row(
    axes: Axes,
    row: int,
    segments: np.ndarray,
    texts: Sequence[str],
    color: str,
    filled: Sequence[bool] | np.ndarray,
) -> None:
    """Bars with their class inside; overlapping ones share the height of the row.

    Args:
        axes: Where.
        row: Number of the row.
        segments: ``(M, 2)``.
        texts: M classes.
        color: Of the bars.
        filled: Whether each of the M bars is filled with the color, or has its outline.
    """
    lanes = lanes_of(segments)
    lanes[lanes < 0] = MAX_LANES - 1  # nothing is left out here
    height = 0.84 / (lanes.max() + 1 if len(lanes) else 1)
    for (start, end), text, lane, solid in zip(segments, texts, lanes, filled):
        low = row + 0.08 + height * lane
        axes.broken_barh(
            [(start, end - start)],
            (low, 0.92 * height),
            facecolor=color if solid else 'white',
            edgecolor='white' if solid else color,
            linewidth=1.6,
        )
        axes.text(
            (start + end) / 2,
            low + 0.46 * height,
            text,
            ha='center',
            va='center',
            fontsize=9,
            color='white' if solid else 'black',
            # Readable where it is longer than its bar.
            path_effects=[withStroke(linewidth=2.5, foreground=color if solid else 'white')],
        )


@names_as_written
def draw_overview(
    gt_segments: np.ndarray,
    gt_labels: np.ndarray,
    detections: Mapping[str, Detections],
    classes: Sequence[str],
    duration: float,
    title: str | None = None,
    frames: Sequence[tuple[float, np.ndarray]] = (),
) -> Figure:
    """Draw a short video: ground truth, and as many detections of each model, the best first.

    Detections of the right class that overlap their instance by a tIoU of 0.5 or more are filled.

    The arguments are those of :func:`~mmtad_decomp.visualization.draw_timeline`. Of the detections
    of each model, the K best are drawn where there are K instances.

    Returns:
        A figure of its own, unknown to pyplot.

    Raises:
        ValueError: If there is no model, or the duration is not positive.
    """
    gt_segments, gt_labels = check_drawing(gt_segments, gt_labels, detections, duration)
    rows = ['ground truth', *detections]
    figure, (axes,) = stack_panels([len(rows) * _ROW_INCHES], frames, duration, _FRAME_INCHES)
    names = [classes[label] for label in gt_labels]
    _draw_row(axes, 0, gt_segments, names, GROUND_TRUTH, [True] * len(names))
    for row, found in enumerate(detections.values(), start=1):
        best, hit = best_detections(found, gt_segments, gt_labels)
        color = PALETTE[(row - 1) % len(PALETTE)]
        texts = [f'{classes[found.labels[i]]} {found.scores[i]:.2f}' for i in best]
        _draw_row(axes, row, found.segments[best], texts, color, hit)
    label_rows(axes, rows, len(rows), duration, fontsize=10)
    axes.set_xlabel('time (s); filled: right class at a tIoU of 0.5 or more', fontsize=9)
    if title:
        title_figure(figure, title)
    return figure


def best_detections(
    found: Detections, gt_segments: np.ndarray, gt_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As many detections as there are instances, the best first, and which of them are right.

    Args:
        found: M detections.
        gt_segments: ``(K, 2)`` seconds.
        gt_labels: ``(K,)``.

    Returns:
        Indices of the at most K detections, and whether each has a tIoU >= 0.5 with an instance of
        its class.
    """
    best = np.argsort(-found.scores, kind='stable')[: len(gt_labels)]
    hit = np.zeros(len(best), dtype=bool)
    pairs = near_pairs(found.segments[best], found.labels[best], gt_segments, gt_labels, 0.5)
    for rows, _, _ in pairs:
        hit[rows] = True
    return best, hit
