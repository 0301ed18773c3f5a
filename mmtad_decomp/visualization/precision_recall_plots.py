"""Precision over recall, and average precision by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmtad_decomp.evaluation.functional import (
    GroundTruth,
    Predictions,
    average_precision,
    match_predictions,
    mean_over_classes,
)

from .timeline import PALETTE
from .titles import name_rows, names_as_written, shorten_legend, shorten_titles, title_figure

_STYLES = ('-', '--', ':', '-.')
_COLUMNS, _PANEL = 4, (3.0, 2.6)


def precision_recall(
    ground_truth: GroundTruth, predictions: Predictions, tiou: float, num_classes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Recall and precision after each prediction, by falling score.

    Args:
        ground_truth: The annotations.
        predictions: The detections, in any order.
        tiou: Threshold in (0, 1].
        num_classes: Number of classes.

    Returns:
        For each class ``(P,)`` recall and ``(P,)`` precision; both empty without ground truth.
    """
    ranked, taken = match_predictions(ground_truth, predictions, [tiou], num_classes)
    curves = []
    for label in range(num_classes):
        hits = np.cumsum(taken[0][ranked.labels == label] >= 0)
        positives = int((ground_truth.labels == label).sum())
        if not positives:
            hits = hits[:0]
        curves.append((hits / max(positives, 1), hits / (np.arange(len(hits)) + 1)))
    return curves


@names_as_written
def plot_precision_recall(
    ground_truth: GroundTruth,
    models: Mapping[str, Predictions],
    tiou: float,
    classes: Sequence[str],
    max_classes: int = 12,
) -> Figure:
    """A panel for each class with the curve and the AP of each model.

    Models differ in colour and in the style of their lines.

    Args:
        ground_truth: The annotations.
        models: Detections of each model by its name.
        tiou: Threshold in (0, 1].
        classes: Class names in label order.
        max_classes: Of more classes, those with most ground truth are drawn; at least 1.

    Returns:
        The figure; without any ground truth, one that says so.

    Raises:
        ValueError: If there is no model, or ``max_classes`` is below 1.
    """
    _check(models, max_classes)
    if not len(ground_truth.labels):
        return _without_ground_truth()
    counts = np.bincount(ground_truth.labels, minlength=len(classes))
    shown = np.sort(np.argsort(-counts, kind='stable')[: min(max_classes, (counts > 0).sum())])
    columns = min(_COLUMNS, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)
    figure = Figure((_PANEL[0] * columns, _PANEL[1] * rows + 0.6), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for number, (name, predictions) in enumerate(models.items()):
        curves = precision_recall(ground_truth, predictions, tiou, len(classes))
        ap = average_precision(ground_truth, predictions, [tiou], len(classes))[0]
        style = dict(
            color=PALETTE[number % len(PALETTE)], linestyle=_STYLES[number % len(_STYLES)]
        )
        for axes, label in zip(panels, shown):
            recall, precision = curves[label]
            axes.plot(100 * recall, 100 * precision, linewidth=1.6, label=name, **style)
            place = 1 - 0.14 * (len(models) - 1 - number)
            text = f'{100 * ap[label]:.1f}'
            axes.text(
                place,
                1.03,
                text,
                color=style['color'],
                fontsize=9,
                ha='right',
                transform=axes.transAxes,
            )
    for axes, label in zip(panels, shown):
        axes.set_title(f'{classes[label]} ({counts[label]})', loc='left', fontsize=10)
        axes.set_xlim(0, 101)
        axes.set_ylim(0, 103)
        axes.grid(color='#DDDDDD', linewidth=0.6)
        for side in ('top', 'right'):
            axes.spines[side].set_visible(False)
    for axes in panels[: len(shown)][-columns:]:  # the lowest of each column
        axes.set_xlabel('recall (%)', fontsize=9)
        axes.tick_params(labelbottom=True)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    lines = panels[0].lines
    _legend(figure, lines)
    figure.supylabel('precision (%)', fontsize=9)
    title_figure(
        figure,
        f'Precision and recall at tIoU {tiou:g}; in brackets: instances; on the right: AP (%)'
        f'{_of_all(shown, counts)}',
    )
    shorten_titles(figure, share=max(0.3, 1 - 0.14 * len(models)))
    return figure


@names_as_written
def plot_class_ap(
    ground_truth: GroundTruth,
    models: Mapping[str, Predictions],
    tious: Sequence[float],
    classes: Sequence[str],
    max_classes: int = 30,
) -> Figure:
    """Bars of each class's AP, mean over thresholds, by falling AP of the first model.

    Args:
        ground_truth: The annotations.
        models: Detections of each model by its name.
        tious: Thresholds in (0, 1].
        classes: Class names in label order.
        max_classes: Bars of so many classes at most, those with most ground truth; at least 1.

    Returns:
        The figure; without any ground truth, one that says so.

    Raises:
        ValueError: If there is no model, or ``max_classes`` is below 1.
    """
    _check(models, max_classes)
    if not len(ground_truth.labels):
        return _without_ground_truth()
    counts = np.bincount(ground_truth.labels, minlength=len(classes))
    shown = np.argsort(-counts, kind='stable')[: min(max_classes, (counts > 0).sum())]
    table = {
        name: 100 * average_precision(ground_truth, found, tious, len(classes))
        for name, found in models.items()
    }
    first = next(iter(table.values())).mean(axis=0)
    shown = shown[np.argsort(-first[shown], kind='stable')]
    figure = Figure(
        (10, 1.4 + 0.17 * (len(models) + 1) * max(len(shown), 3)), layout='constrained'
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places, height = np.arange(len(shown)), 0.84 / len(models)
    for number, (name, ap) in enumerate(table.items()):
        offset = (number - (len(models) - 1) / 2) * height
        mean = float(mean_over_classes(ap).mean())
        bars = axes.barh(
            places + offset,
            ap.mean(axis=0)[shown],
            0.92 * height,
            color=PALETTE[number % len(PALETTE)],
            label=f'{name}, mAP {mean:.1f}',
        )
        axes.bar_label(bars, fmt='%.1f', padding=2, fontsize=8)
    name_rows(axes, places, [f'{classes[label]} ({counts[label]})' for label in shown], fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 108)
    span = f'{tious[0]:g}' if len(tious) == 1 else f'{tious[0]:g} to {tious[-1]:g}'
    axes.set_xlabel(
        f'AP (%) at tIoU {span}; in brackets: instances{_of_all(shown, counts)}', fontsize=9
    )
    axes.grid(axis='x', color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    _legend(figure, axes.containers)
    return figure


def _check(models: Mapping[str, Predictions], max_classes: int) -> None:
    if not models:
        raise ValueError('`models` is empty; give the detections of at least one model')
    if max_classes < 1:
        raise ValueError(f'`max_classes` must be at least 1, got {max_classes}')


def _of_all(shown: np.ndarray, counts: np.ndarray) -> str:
    """How many of the classes that have instances are drawn; empty if all of them are."""
    everything = int((counts > 0).sum())
    if len(shown) == everything:
        return ''
    return f'; {len(shown)} of {everything} classes, those with most instances'


def _without_ground_truth() -> Figure:
    figure = Figure((6, 2), layout='constrained')
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, 'no ground truth: AP is undefined', ha='center', va='center')
    return figure


def _legend(figure: Figure, handles: Sequence) -> None:
    """The models' legend below all panels, in as few rows as long names allow."""
    for columns in range(min(len(handles), 4), 0, -1):
        place = dict(loc='outside lower center', ncols=columns)
        legend = figure.legend(handles=handles, **place, frameon=False, fontsize=9)
        if legend.get_window_extent().width <= figure.bbox.width:
            return
        if columns > 1:
            legend.remove()
    shorten_legend(legend, figure.bbox.width)
