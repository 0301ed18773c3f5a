"""Plots of a diagnosis and of the gain of the fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmtad_decomp.evaluation.diagnosis import CATEGORIES, TITLES, Diagnosis

from .titles import name_rows, names_as_written, title_figure

CATEGORY_COLORS = ('#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#D55E00', '#B8B8B8')
CHARACTERISTIC_COLORS = {'coverage': '#0072B2', 'length': '#D55E00', 'instances': '#009E73'}
BRANCH_COLORS = {'appearance': '#E69F00', 'motion': '#0072B2', 'joint': '#3A3A3A'}


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Axes, grid: Literal['x', 'y']) -> None:
    axes.grid(axis=grid, color='#DDDDDD', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)


def _tious(diagnosis: Diagnosis) -> str:
    tious = diagnosis.options.tious
    return f'tIoU {tious[0]:g}' if len(tious) == 1 else f'mean of tIoU {tious[0]:g}-{tious[-1]:g}'


def plot_false_positives(diagnosis: Diagnosis) -> Figure:
    """Categories of the best predictions, and what removing each kind of error gains."""
    figure = _figure(11, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    shares = 100 * np.nan_to_num(diagnosis.false_positives.shares)
    places, bottom = np.arange(len(shares)), np.zeros(len(shares))
    for column, name, color in zip(shares.T, CATEGORIES, CATEGORY_COLORS):
        left.bar(places, column, 0.82, bottom=bottom, color=color, label=TITLES[name])
        bottom = bottom + column
    for place in places[bottom == 0]:
        left.text(place, 2, 'none', ha='center', fontsize=8, color='#5A5A5A', rotation=90)
    _bare(left, 'y')
    left.set_xticks(places, [f'{m}G' for m in range(1, len(shares) + 1)])
    left.set_ylim(0, 100)
    left.set_xlabel('best predictions of each class (G: its number of ground truths)', fontsize=9)
    left.set_ylabel('share (%)', fontsize=9)
    left.set_title(f'False-positive profile, {_tious(diagnosis)}', loc='left', fontsize=10)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc='outside lower center',
        ncols=len(CATEGORIES),
        frameon=False,
        fontsize=9,
    )
    _draw_removal(right, diagnosis)
    return figure


def _draw_removal(axes: Axes, diagnosis: Diagnosis) -> None:
    profile, places = diagnosis.false_positives, np.arange(len(CATEGORIES) - 1)
    for shift, gain, alpha, name in (
        (-0.2, profile.map_gain, 0.45, 'mAP'),
        (0.2, profile.map_n_gain, 1.0, 'mAP$_N$'),
    ):
        values = 100 * gain.mean(axis=0)
        bars = axes.barh(places + shift, values, 0.38, color=CATEGORY_COLORS[1:], alpha=alpha)
        axes.bar_label(bars, fmt='%.1f', padding=3, fontsize=8)
        axes.barh(0, 0, color='#5A5A5A', alpha=alpha, label=name)
    _bare(axes, 'x')
    axes.set_yticks(places, [TITLES[name] for name in CATEGORIES[1:]])
    axes.invert_yaxis()
    most = 100 * max(profile.map_gain.mean(axis=0).max(), profile.map_n_gain.mean(axis=0).max())
    axes.set_xlim(0, max(1.0, 1.18 * most))
    axes.set_xlabel('points of average-mAP and average-mAP$_N$', fontsize=9)
    axes.set_title('Gain of removing an error', loc='left', fontsize=10)
    axes.legend(
        fontsize=8,
        frameon=False,
        loc='lower right',
        bbox_to_anchor=(1.02, 0.99),
        ncols=2,
        columnspacing=1.0,
        handlelength=1.2,
    )


def _draw_buckets(
    axes: Axes, diagnosis: Diagnosis, values: Mapping[str, np.ndarray], base: float
) -> None:
    """Bars per bucket, the characteristics side by side, against the value of all instances.

    Args:
        axes: Where to draw.
        diagnosis: For names and numbers of instances.
        values: Percent by characteristic.
        base: Percent.
    """
    start, ticks, names, centres = 0, list[float](), list[str](), list[float]()
    for name, buckets in diagnosis.options.buckets.items():
        places = start + np.arange(len(buckets))
        height = np.nan_to_num(values[name])
        axes.bar(places, height, 0.8, color=CHARACTERISTIC_COLORS[name])
        for place, value in zip(places, values[name]):
            empty = np.isnan(value)
            text, at = ('empty', 1.5) if empty else (f'{value:.1f}', value + 1.0)
            color = '#5A5A5A' if empty else 'black'
            axes.text(
                place,
                at,
                text,
                ha='center',
                va='bottom',
                fontsize=8,
                color=color,
                rotation=90 if empty else 0,
                bbox=dict(facecolor='white', edgecolor='none', pad=0.6),
            )
        ticks.extend(places)
        labels = zip(buckets.names, buckets.ranges, diagnosis.sensitivity[name].instances)
        names.extend(f'{size}\n{interval}\n({n})' for size, interval, n in labels)
        centres.append(places.mean())
        start = places[-1] + 2
    _bare(axes, 'y')
    axes.axhline(base, color='black', linewidth=1, linestyle='--', zorder=2)
    axes.set_xlim(-0.8, max(start - 1.2, 0.8))
    axes.set_xticks(ticks, names, fontsize=7.5)
    axes.tick_params(axis='x', length=0)
    for centre, name in zip(centres, diagnosis.options.buckets):
        axes.text(
            centre,
            1.01,
            TITLES[name],
            ha='center',
            va='bottom',
            fontsize=9,
            fontweight='bold',
            color=CHARACTERISTIC_COLORS[name],
            transform=axes.get_xaxis_transform(),
        )


def plot_sensitivity(diagnosis: Diagnosis) -> Figure:
    """Average-mAP_N per bucket, and the range of each characteristic relative to all."""
    figure = _figure(13, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(4, 1))
    base = 100 * diagnosis.map_n.mean()
    averages = {name: 100 * r.map_n.mean(axis=0) for name, r in diagnosis.sensitivity.items()}
    _draw_buckets(left, diagnosis, averages, base)
    top = max(np.nan_to_num(row).max() for row in (base, *averages.values()))
    left.set_ylim(0, min(1.15 * top + 2, 108))
    left.set_ylabel('average-mAP$_N$ (%)', fontsize=9)
    left.set_xlabel(
        f'dashed: all instances, {base:.1f}; in brackets: instances; {_tious(diagnosis)}',
        fontsize=9,
    )
    _draw_ranges(right, diagnosis)
    figure.suptitle('Sensitivity', x=0.01, ha='left', fontsize=11)
    return figure


def _draw_ranges(axes: Axes, diagnosis: Diagnosis) -> None:
    shown = diagnosis.sensitivity
    for place, (name, result) in enumerate(shown.items()):
        change = result.change[~np.isnan(result.change)]
        if not len(change):
            axes.text(place, 1.02, 'none', ha='center', fontsize=8, color='#5A5A5A')
            continue
        low, high = 1 + change.min(), 1 + change.max()
        color = CHARACTERISTIC_COLORS[name]
        axes.plot([place, place], [low, high], color=color, linewidth=5, solid_capstyle='butt')
        for value, shift, vertical in ((high, 4, 'bottom'), (low, -4, 'top')):
            axes.annotate(
                f'{value:.2f}',
                (place, value),
                (0, shift),
                textcoords='offset points',
                ha='center',
                va=vertical,
                fontsize=8,
            )
    _bare(axes, 'y')
    axes.axhline(1, color='black', linewidth=1, linestyle='--')
    axes.margins(y=0.15)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    names = [TITLES[name].replace(' per ', '\nper ') for name in shown]
    axes.set_xticks(range(len(shown)), names, fontsize=8)
    axes.set_title('buckets relative to all', fontsize=9, loc='left')


def plot_false_negatives(diagnosis: Diagnosis) -> Figure:
    """Missed instances per bucket, and per pair of buckets."""
    negatives = diagnosis.false_negatives
    figure = _figure(13, 7.6 if negatives.pairs else 4.2)
    parts: Any = figure.subfigures(2, 1) if negatives.pairs else (figure, None)
    upper, lower = parts
    axes = upper.subplots()
    base = 100 * negatives.overall.mean()
    averages = {name: 100 * share.mean(axis=0) for name, share in negatives.single.items()}
    _draw_buckets(axes, diagnosis, averages, 0 if np.isnan(base) else base)
    axes.set_ylim(0, 108)
    axes.set_ylabel('missed (%)', fontsize=9)
    axes.set_xlabel(
        f'dashed: all instances, {base:.1f}; in brackets: instances; {_tious(diagnosis)}',
        fontsize=9,
    )
    upper.suptitle('False negatives', x=0.01, ha='left', fontsize=11)
    if lower is not None:
        panels = lower.subplots(1, len(negatives.pairs), squeeze=False)[0]
        for panel, pair in zip(panels, negatives.pairs):
            _draw_pair(panel, diagnosis, pair)
        lower.suptitle(
            'Missed (%) by pairs; in brackets: instances', x=0.01, ha='left', fontsize=10
        )
    return figure


def _draw_pair(axes: Axes, diagnosis: Diagnosis, pair: tuple[str, str]) -> None:
    share = 100 * diagnosis.false_negatives.pairs[pair].mean(axis=0)
    counts = diagnosis.false_negatives.pair_instances[pair]
    axes.imshow(np.ma.masked_invalid(share), cmap='Oranges', vmin=0, vmax=100, aspect='auto')
    axes.set_facecolor('#F4F4F4')
    for (row, column), value in np.ndenumerate(share):
        text = '' if np.isnan(value) else f'{value:.0f}\n({counts[row, column]})'
        color = 'white' if value > 65 else 'black'
        axes.text(column, row, text, ha='center', va='center', fontsize=8, color=color)
    first, second = (diagnosis.options.buckets[name] for name in pair)
    axes.set_yticks(range(len(first)), first.names, fontsize=8)
    axes.set_xticks(range(len(second)), second.names, fontsize=8)
    axes.set_ylabel(TITLES[pair[0]], fontsize=9, color=CHARACTERISTIC_COLORS[pair[0]])
    axes.set_xlabel(TITLES[pair[1]], fontsize=9, color=CHARACTERISTIC_COLORS[pair[1]])
    axes.tick_params(length=0)


@names_as_written
def plot_branch_ap(
    ap: Mapping[str, Mapping[str, float]], title: str = '', max_classes: int = 30
) -> Figure:
    """AP per class of appearance branch, motion branch and joint head, and what fusion gained.

    Args:
        ap: ``ap[branch][class]`` fractions for the branches ``'appearance'``, ``'motion'`` and
            ``'joint'``, each with the same classes.
        title: Above the figure.
        max_classes: Of more classes, those are drawn whose joint head differs most from the
            better branch, which the title says.
    """
    classes = list(ap['joint'])
    table = 100 * np.array([[ap[branch][name] for name in classes] for branch in BRANCH_COLORS])
    gain = table[2] - table[:2].max(axis=0) if classes else np.zeros(0)
    order = np.argsort(-gain, kind='stable')
    if len(order) > max_classes:
        largest = np.argsort(-np.abs(gain), kind='stable')[:max_classes]
        order = order[np.isin(order, largest)]
        title = f'{title} (the {max_classes} of {len(classes)} classes that differ most)'
    figure = _figure(10, 1.6 + 0.5 * max(len(order), 2))
    left, right = figure.subplots(1, 2, width_ratios=(2, 1), sharey=True)
    places = np.arange(len(order))
    for i, (branch, color) in enumerate(BRANCH_COLORS.items()):
        bars = left.barh(places + 0.27 * (i - 1), table[i, order], 0.25, color=color, label=branch)
        left.bar_label(bars, fmt='%.1f', padding=2, fontsize=7)
    _draw_gain(right, places, gain[order])
    _bare(left, 'x')
    name_rows(left, places, [classes[i] for i in order], fontsize=10)
    left.set_ylim(len(order) - 0.4, -0.6)
    left.set_xlim(0, max(1.12 * table.max(initial=0), 1))
    left.set_xlabel('AP (%)', fontsize=9)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc='outside lower center',
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    if title:
        title_figure(figure, title.strip(), fontsize=10)
    return figure


def _draw_gain(axes: Axes, places: np.ndarray, gain: Sequence[float]) -> None:
    colors = ['#009E73' if value >= 0 else '#D55E00' for value in gain]
    bars = axes.barh(places, gain, 0.6, color=colors)
    axes.bar_label(bars, fmt='%+.1f', padding=3, fontsize=8)
    _bare(axes, 'x')
    low, high = min(np.min(gain, initial=0), -1), max(np.max(gain, initial=0), 1)
    room = 0.22 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.axvline(0, color='black', linewidth=0.8)
    axes.tick_params(axis='y', length=0)
    axes.set_xlabel('joint - better branch (points)', fontsize=9)
