"""One window of a data set with its targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .timeline import GROUND_TRUTH, PALETTE, label_rows, stack_panels, visible_bars
from .titles import names_as_written, title_figure

_ROW_INCHES, _FRAME_INCHES = 0.34, 1.15


@names_as_written
def draw_window(
    segments: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    length: float,
    title: str,
    frames: Sequence[tuple[float, np.ndarray]] = (),
    learned: Sequence[bool] | None = None,
) -> Figure:
    """Draw a window as a model is given it: its frames, and a row for each class in it.

    Args:
        segments: ``(K, 2)`` targets in seconds since the begin of the window.
        labels: ``(K,)`` int.
        classes: Class names in label order.
        length: Seconds.
        title: Title of the figure.
        frames: Key frames, as for :func:`~mmtad_decomp.visualization.draw_timeline`.
        learned: Whether a point of the head can stand for each target; the others are hatched.

    Returns:
        A figure of its own, unknown to pyplot.
    """
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    rows = np.unique(labels).tolist()
    num_rows = max(len(rows), 1)
    figure, (axes,) = stack_panels([num_rows * _ROW_INCHES], frames, length, _FRAME_INCHES)
    learned = [True] * len(segments) if learned is None else learned
    shapes = zip(*visible_bars(axes, segments, length, edge=1.0))
    for (start, _), (width, edge), label, has_target in zip(segments, shapes, labels, learned):
        axes.broken_barh(
            [(start, width)],
            (rows.index(label) + 0.1, 0.8),
            facecolor=GROUND_TRUTH if has_target else 'white',
            edgecolor='white' if has_target else PALETTE[1],
            linewidth=edge,
            hatch=None if has_target else '////',
        )
    label_rows(axes, [classes[label] for label in rows], num_rows, length, fontsize=9)
    axes.set_xlabel('seconds of the window', fontsize=9)
    if not all(learned):
        patch = Patch(facecolor='white', edgecolor=PALETTE[1], hatch='////', label='no target')
        figure.legend(handles=[patch], loc='outside lower right', frameon=False, fontsize=9)
    title_figure(figure, title)
    return figure
