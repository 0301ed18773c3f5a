"""Detections against ground truth on one time line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.utils.atomic import atomic_write

from .titles import name_rows, names_as_written, shorten_legend, shorten_titles, title_figure

# Okabe and Ito's palette, which the common kinds of colour blindness can tell apart.
PALETTE = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
GROUND_TRUTH = '#3A3A3A'
MAX_LANES = 3
LEAST_WIDTH = 1 / 600
"""Share of the time axis that the narrowest bar has."""
_ROW_INCHES, _PANEL_INCHES, _FRAME_INCHES = 0.42, 0.42, 0.95
_CURVES_INCHES, _CURVE_POINTS = 1.7, 1200
_CURVE_STYLES = ('-', '--', ':', '-.')
_STRIP_WIDTH = 10.5


def _opacity(scores: npt.ArrayLike) -> np.ndarray:
    return 0.12 + 0.88 * np.clip(scores, 0.0, 1.0)


def _visible(
    detections: Detections, score_thr: float, max_detections: int | None
) -> tuple[Detections, int]:
    """The best detections, and how many there would be without a limit of their number."""
    order = np.argsort(-detections.scores, kind='stable')
    order = order[detections.scores[order] >= score_thr]
    shown = order[:max_detections]
    return Detections(*(column[shown] for column in detections)), len(order)


def lanes_of(segments: np.ndarray) -> np.ndarray:
    """Lane of each segment, so that those of one lane do not overlap.

    Args:
        segments: ``(N, 2)``, the most important first.

    Returns:
        ``(N,)`` int from 0 to ``MAX_LANES - 1``; -1 where more important ones fill all lanes.
    """
    lanes = np.zeros(len(segments), dtype=np.int64)
    for i, (start, end) in enumerate(segments):
        before = segments[:i]
        busy = lanes[:i][(before[:, 0] < end) & (start < before[:, 1])]
        free = np.setdiff1d(np.arange(MAX_LANES), busy)
        lanes[i] = free[0] if len(free) else -1
    return lanes


def _bars(
    axes: Axes,
    segments: np.ndarray,
    bottoms: np.ndarray,
    heights: np.ndarray,
    least_width: float,
    color: str,
    opacities: np.ndarray,
) -> None:
    """Draw ``(N, 2)`` segments as bars, later ones over earlier ones, each with its own row."""
    starts, tops = segments[:, 0], bottoms + heights
    ends = np.maximum(segments[:, 1], starts + least_width)
    # Of a narrow bar there is little but its edges: full ones would hide its opacity.
    edges = np.where(ends - starts < 3 * least_width, opacities, 1.0)
    # (4 corners, x and y, N) -> (N, 4, 2)
    corners = np.array([(starts, bottoms), (ends, bottoms), (ends, tops), (starts, tops)])
    # One collection: one for each bar takes a second for 200 bars.
    bars = PolyCollection(
        np.moveaxis(corners, 2, 0),
        facecolors=[to_rgba(color, opacity) for opacity in opacities],
        edgecolors=[to_rgba(color, opacity) for opacity in edges],
        linewidths=0.6,
    )
    axes.add_collection(bars, autolim=False)


def _draw_row(
    axes: Axes, top: float, share: float, found: Detections, width: float, color: str
) -> int:
    """Detections of one class, in lanes below ``top`` that share a height.

    Returns the number of detections without a lane, which are not drawn.
    """
    lanes = lanes_of(found.segments)
    height = share / (lanes.max() + 1 if len(lanes) else 1)
    # The best one last, so that it lies on top.
    shown = np.flatnonzero(lanes >= 0)[::-1]
    bottoms, heights = top + height * lanes[shown], np.full(len(shown), 0.86 * height)
    opacities = _opacity(found.scores[shown])
    _bars(axes, found.segments[shown], bottoms, heights, width, color, opacities)
    return int((lanes < 0).sum())


def _draw_panel(
    axes: Axes,
    name: str,
    truth: tuple[np.ndarray, np.ndarray],
    found: Detections,
    num_found: int,
    rows: Sequence[int],
    classes: Sequence[str],
    duration: float,
    color: str,
) -> None:
    hidden = 0
    # With ground truth, that is in the upper half of the rows.
    offset, share = (0.52, 0.38) if len(truth[1]) else (0.14, 0.76)
    for row, label in enumerate(rows):
        if row % 2 == 0:
            axes.axhspan(row, row + 1, color='#F1F1F1', linewidth=0, zorder=0)
        mine = found.labels == label
        of_class = Detections(*(column[mine] for column in found))
        segments, width = truth[0][truth[1] == label], LEAST_WIDTH * duration
        same = np.ones(len(segments))
        _bars(axes, segments, (row + 0.10) * same, 0.34 * same, width, GROUND_TRUTH, same)
        hidden += _draw_row(axes, row + offset, share, of_class, width, color)
    notes = []
    if len(found.labels) < num_found:
        notes.append(f'the best {len(found.labels)} of {num_found} detections')
    if hidden:
        notes.append(f'{hidden} behind better ones of their class are not drawn')
    if notes:
        name = f'{name} ({"; ".join(notes)})'
    if not rows:
        name = f'{name}: none'
    axes.set_title(name, loc='left', fontsize=10, fontweight='bold', color=color, pad=4)
    axes.set_xlim(0, duration)
    axes.set_ylim(max(len(rows), 1), 0)
    name_rows(axes, np.arange(len(rows)) + 0.5, [classes[label] for label in rows], fontsize=9)
    axes.tick_params(axis='y', length=0)
    axes.tick_params(axis='x', labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 3, 5, 6, 10]))
    axes.grid(axis='x', color='#CFCFCF', linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)


def strip_inches(frames: Sequence[tuple[float, np.ndarray]]) -> float:
    """Height of the key frames, of which each is as wide as the time between them."""
    height, width = frames[0][1].shape[:2]
    return _STRIP_WIDTH / len(frames) * height / width


def draw_strip(axes: Axes, frames: Sequence[tuple[float, np.ndarray]], duration: float) -> None:
    """Key frames side by side, each centred on its time."""
    half = duration / len(frames) / 2
    for seconds, image in frames:
        axes.imshow(image, extent=(seconds - half, seconds + half, 0, 1), aspect='auto')
    axes.set_xlim(0, duration)
    axes.set_ylim(0, 1)
    axes.set_axis_off()


def stack_panels(
    heights: Sequence[float],
    frames: Sequence[tuple[float, np.ndarray]],
    duration: float,
    margin: float,
) -> tuple[Figure, list[Axes]]:
    """A figure of panels with one time axis, below a strip of the key frames if there are any.

    Args:
        heights: Inches of each panel, from the top.
        frames: Key frames, see :func:`draw_timeline`.
        duration: Seconds.
        margin: Inches for titles and labels.

    Returns:
        The figure, unknown to pyplot, and the axes of the panels.
    """
    inches = [*([strip_inches(frames)] if frames else []), *heights]
    figure = Figure(figsize=(12, sum(inches) + margin), layout='constrained')
    FigureCanvasAgg(figure)
    ratios = dict(height_ratios=inches)
    axes = list(
        figure.subplots(len(inches), 1, sharex=True, squeeze=False, gridspec_kw=ratios)[:, 0]
    )
    if frames:
        draw_strip(axes.pop(0), frames, duration)
    return figure, axes


def label_rows(
    axes: Axes, names: Sequence[str], num_rows: int, duration: float, fontsize: float
) -> None:
    """Name the rows of a panel from the top, each one unit high, and leave out its frame.

    Args:
        axes: The panel.
        names: Names of its first rows.
        num_rows: Number of rows.
        duration: Seconds.
        fontsize: Of the names, in points.
    """
    axes.set_xlim(0, duration)
    axes.set_ylim(num_rows, 0)
    name_rows(axes, np.arange(len(names)) + 0.5, names, fontsize)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color='#CFCFCF', linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)


def visible_bars(
    axes: Axes, segments: np.ndarray, duration: float, edge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Widths at which bars, and their edges, can be seen: a full edge would hide a narrow bar.

    Args:
        axes: Where; its time axis is about as wide as its figure.
        segments: ``(M, 2)`` seconds.
        duration: Seconds of the time axis.
        edge: Points of the edge of a bar that is not narrow.

    Returns:
        ``(M,)`` seconds of the bars, and ``(M,)`` points of their edges.
    """
    widths = np.maximum(segments[:, 1] - segments[:, 0], LEAST_WIDTH * duration)
    points = widths / duration * axes.figure.bbox.width * 72 / axes.figure.dpi
    return widths, np.minimum(edge, points / 6)


def score_curve(found: Detections, times: np.ndarray) -> np.ndarray:
    """Highest score of a detection of any class that covers each time; 0 where none does.

    Args:
        found: The detections.
        times: ``(T,)`` seconds.

    Returns:
        ``(T,)`` float64.
    """
    covers = (found.segments[:, :1] <= times) & (times < found.segments[:, 1:])
    return np.where(covers, found.scores[:, None], 0.0).max(axis=0, initial=0.0)


def _draw_curves(
    axes: Axes, curves: Mapping[str, Detections], truth: np.ndarray, duration: float
) -> None:
    """Score curves over the ground truth's shadows."""
    times = (np.arange(_CURVE_POINTS) + 0.5) * duration / _CURVE_POINTS
    for start, end in truth:
        axes.axvspan(start, end, color='#E4E4E4', linewidth=0)
    for i, (name, found) in enumerate(curves.items()):
        color, style = PALETTE[i % len(PALETTE)], _CURVE_STYLES[i % len(_CURVE_STYLES)]
        values = score_curve(found, times)
        axes.plot(times, values, color=color, linestyle=style, linewidth=1.6, label=name)
    axes.set_title('highest score at each moment', loc='left', fontsize=10, pad=4)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=9)
    axes.grid(color='#CFCFCF', linewidth=0.5)
    axes.set_axisbelow(True)
    box = dict(loc='lower right', bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0)
    legend = axes.legend(**box, ncols=len(curves), frameon=False, fontsize=9)
    shorten_legend(legend, 0.5 * axes.figure.bbox.width)  # the panel's title is beside it
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)


def _legend(figure: Figure, with_truth: bool) -> None:
    grey = '#5A5A5A'
    handles = [Patch(color=GROUND_TRUTH, label='ground truth')] if with_truth else []
    handles += [
        Patch(
            facecolor=to_rgba(grey, float(_opacity(score))),
            edgecolor=grey,
            linewidth=0.6,
            label=f'score {score:g}',
        )
        for score in (0.1, 0.5, 1.0)
    ]
    figure.legend(
        handles=handles,
        loc='outside lower center',
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handlelength=1.6,
    )


def check_drawing(
    gt_segments: np.ndarray,
    gt_labels: np.ndarray,
    detections: Mapping[str, Detections],
    duration: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth as ``(K, 2)`` float64 and ``(K,)`` int64, where there is something to draw.

    Raises:
        ValueError: If there is no model, or the duration is not positive.
    """
    if not detections:
        raise ValueError('a drawing needs the detections of at least one model, got none')
    if not duration > 0:
        raise ValueError(f'duration must be > 0 seconds, got {duration}')
    segments = np.asarray(gt_segments, dtype=np.float64).reshape(-1, 2)
    return segments, np.asarray(gt_labels, dtype=np.int64).reshape(-1)


@names_as_written
def draw_timeline(
    gt_segments: np.ndarray,
    gt_labels: np.ndarray,
    detections: Mapping[str, Detections],
    classes: Sequence[str],
    duration: float,
    title: str | None = None,
    score_thr: float = 0.1,
    max_detections: int | None = 200,
    frames: Sequence[tuple[float, np.ndarray]] = (),
    curves: Mapping[str, Detections] | None = None,
) -> Figure:
    """Draw one video: a panel for each model, in it a row for each class that occurs.

    In a row the ground truth is the dark bar above, detections are the coloured bars below, the
    more opaque the higher their score. Overlapping detections of a class go to up to three lanes;
    those that score lower than three others at their time are left out and counted in the title.

    Args:
        gt_segments: ``(K, 2)`` seconds.
        gt_labels: ``(K,)`` int.
        detections: Detections of each model by its name; the order is that of the panels.
        classes: Class names in label order.
        duration: Seconds.
        title: Title of the figure.
        score_thr: Detections that score lower are not drawn.
        max_detections: At most so many of a model, the best first; of more, the title of its panel
            says how many there are. None for all of them.
        frames: Key frames to show above: their times in seconds, evenly spaced over the video,
            and ``(H, W, 3)`` uint8 RGB.
        curves: Detections by name, such as those of the branches, whose :func:`score_curve` is
            drawn in a panel below; all of them count.

    Returns:
        A figure of its own, unknown to pyplot.

    Raises:
        ValueError: If there is no model, or the duration is not positive.
    """
    gt_segments, gt_labels = check_drawing(gt_segments, gt_labels, detections, duration)
    shown = {
        name: _visible(found, score_thr, max_detections) for name, found in detections.items()
    }
    rows = np.unique(np.concatenate([gt_labels, *(found.labels for found, _ in shown.values())]))
    panel = max(len(rows), 1) * _ROW_INCHES + _PANEL_INCHES
    heights = [panel] * len(shown)
    if curves:
        heights.append(_CURVES_INCHES)
    figure, axes = stack_panels(heights, frames, duration, _FRAME_INCHES)
    for i, (name, found) in enumerate(shown.items()):
        color = PALETTE[i % len(PALETTE)]
        truth = (gt_segments, gt_labels)
        _draw_panel(axes[i], name, truth, *found, rows.tolist(), classes, duration, color)
    if curves:
        _draw_curves(axes[-1], curves, gt_segments, duration)
    axes[-1].set_xlabel('time (s)', fontsize=9)
    if title:
        title_figure(figure, title)
    _legend(figure, with_truth=len(gt_labels) > 0)
    shorten_titles(figure)
    return figure


def figure_to_image(figure: Figure) -> np.ndarray:
    """Pixels of a figure: ``(H, W, 3)`` uint8 RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure: Figure, path: str | Path, dpi: int = 130) -> None:
    """Write a figure atomically.

    Args:
        figure: The figure.
        path: File; its ending gives the format (``.png``, ``.pdf``, ``.svg``).
        dpi: Pixels per inch.

    Raises:
        ValueError: If matplotlib does not know the ending.
    """
    form = Path(path).suffix.lstrip('.').lower() or 'png'
    supported = figure.canvas.get_supported_filetypes()
    if form not in supported:
        raise ValueError(f'{path}: unknown ending .{form}; use one of {sorted(supported)}')
    with atomic_write(path) as file:
        figure.savefig(file, format=form, dpi=dpi)
