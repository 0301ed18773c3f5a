"""The best detections of several models against ground truth, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

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
    visible_bars,
)
from .titles import names_as_written, shorten, title_figure

_ROW_INCHES, _FRAME_INCHES = 0.62, 0.85
_TEXT_PAD, _LEAST_TEXT = 3, 5
"""Pixels beside a text, and the fewest characters that a shortened name has."""


def _draw_row(
    axes: Axes,
    row: int,
    segments: np.ndarray,
    color: str,
    filled: Sequence[bool] | np.ndarray,
    duration: float,
) -> list[tuple[Text, np.ndarray]]:
    """Bars with a place for a text each; overlapping ones share the height of the row.

    Args:
        axes: Where.
        row: Number of the row.
        segments: ``(M, 2)``.
        color: Of the bars.
        filled: Whether each of the M bars is filled with the color, or has its outline.
        duration: Seconds.

    Returns:
        M empty texts, each with the start and the end of its room in seconds.
    """
    lanes = lanes_of(segments)
    lanes[lanes < 0] = MAX_LANES - 1  # nothing is left out here
    height = 0.84 / (lanes.max() + 1 if len(lanes) else 1)
    shapes = zip(*visible_bars(axes, segments, duration, edge=1.6))
    texts = []
    for (start, end), (width, edge), lane, solid in zip(segments, shapes, lanes, filled):
        low = row + 0.08 + height * lane
        axes.broken_barh(
            [(start, width)],
            (low, 0.92 * height),
            facecolor=color if solid else 'white',
            edgecolor='white' if solid else color,
            linewidth=edge,
        )
        text = axes.text(
            (start + end) / 2,
            low + 0.46 * height,
            '',
            ha='center',
            va='center',
            fontsize=9,
            color='white' if solid else 'black',
            # Readable where it is longer than its bar.
            path_effects=[withStroke(linewidth=2.5, foreground=color if solid else 'white')],
        )
        texts.append(text)
    return list(zip(texts, _rooms(segments, lanes, duration)))


def _rooms(segments: np.ndarray, lanes: np.ndarray, duration: float) -> np.ndarray:
    """The time that the text of each bar has for its own, up to half of the way to the next bar.

    Args:
        segments: ``(M, 2)``.
        lanes: ``(M,)``.
        duration: Seconds.

    Returns:
        ``(M, 2)`` seconds; those of one lane do not overlap.
    """
    centers, rooms = segments.mean(axis=1), np.zeros((len(segments), 2))
    for lane in np.unique(lanes):
        mine = np.flatnonzero(lanes == lane)
        mine = mine[np.argsort(centers[mine], kind='stable')]
        before, after = mine[:-1], mine[1:]
        middle = (segments[before, 1] + segments[after, 0]) / 2
        # A bar of the last lane may lie over another one.
        borders = np.clip(middle, centers[before], centers[after])
        borders = np.clip([0.0, *borders, duration], 0.0, duration)
        rooms[mine] = np.stack([borders[:-1], borders[1:]], axis=1)
    return rooms


def _write(axes: Axes, label: Text, room: np.ndarray, name: str, score: str) -> None:
    """Write a name and its score into a room: shortened, without the score, or nothing at all.

    Args:
        axes: Where, with its final size.
        label: The text, in the middle of its bar.
        room: Start and end in seconds.
        name: Name of the class.
        score: What follows it.
    """
    seconds = axes.transData.inverted().transform([(0, 0), (1, 0)])[:, 0]
    pixel = seconds[1] - seconds[0]

    def width(text: str) -> float:
        label.set_text(text)
        return (label.get_window_extent().width + 2 * _TEXT_PAD) * pixel

    def fits(end: str, text: str) -> bool:
        return width(text + end) <= room[1] - room[0]

    for end in (score, '') if score else ('',):
        short = shorten(name, partial(fits, end))
        taken = width(short + end)
        if taken <= room[1] - room[0] and (short == name or len(short) > _LEAST_TEXT):
            label.set_x(np.clip(label.get_position()[0], room[0] + taken / 2, room[1] - taken / 2))
            return
    label.set_text('')


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
    Names that are too long for the room around their bar are shortened, or left out.

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
    solid = [True] * len(gt_labels)
    places = _draw_row(axes, 0, gt_segments, GROUND_TRUTH, solid, duration)
    texts = [(classes[label], '') for label in gt_labels]
    for row, found in enumerate(detections.values(), start=1):
        best, hit = best_detections(found, gt_segments, gt_labels)
        color = PALETTE[(row - 1) % len(PALETTE)]
        places += _draw_row(axes, row, found.segments[best], color, hit, duration)
        texts += [(classes[found.labels[i]], f' {found.scores[i]:.2f}') for i in best]
    label_rows(axes, rows, len(rows), duration, fontsize=10)
    axes.set_xlabel('time (s); filled: right class at a tIoU of 0.5 or more', fontsize=9)
    if title:
        title_figure(figure, title)
    engine = figure.get_layout_engine()
    assert engine is not None  # that of stack_panels
    engine.execute(figure)
    for (label, room), (name, score) in zip(places, texts):
        _write(axes, label, room, name, score)
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
