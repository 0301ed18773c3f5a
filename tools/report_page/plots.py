"""The pictures of a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmtad_decomp.evaluation import ground_truth_table, prediction_table
from mmtad_decomp.evaluation.diagnosis import DiagnosisOptions, diagnose, instance_durations
from mmtad_decomp.visualization import plot_class_ap, plot_precision_recall
from mmtad_decomp.visualization.diagnosis_plots import plot_false_positives
from mmtad_decomp.visualization.timeline import PALETTE
from mmtad_decomp.visualization.titles import names_as_written, shorten_legend
from tools.studies.training_log import read_scalars

from .runs import Run

_STYLES = ('-', '--')


def page_pictures(runs: Sequence[Run], tious: Sequence[float]) -> list[dict]:
    """Titles and PNG addresses: AP by class, curves, errors by kind, training.

    Args:
        runs: One or two runs on the same ground truth.
        tious: Thresholds.
    """
    annotations = runs[0].annotations
    truth, classes = ground_truth_table(annotations), annotations.classes
    models = {run.name: prediction_table(annotations, run.detections) for run in runs}
    middle = min(tious, key=lambda tiou: abs(tiou - 0.5))
    figures = {
        'AP by class': plot_class_ap(truth, models, tious, classes),
        'Precision and recall': plot_precision_recall(truth, models, middle, classes),
    }
    durations, options = instance_durations(annotations), DiagnosisOptions(tious=tuple(tious))
    for name, found in models.items():
        diagnosis = diagnose(truth, found, durations, len(classes), options)
        figures[f'Errors by kind: {name}'] = plot_false_positives(diagnosis)
    curves = plot_training(runs)
    if curves is not None:
        figures['Training'] = curves
    return [dict(title=title, src=_png(figure)) for title, figure in figures.items()]


@names_as_written
def plot_training(runs: Sequence[Run]) -> Figure | None:
    """Losses (of one run with their parts) and learning rate over steps; None without logs."""
    logs = {run.name: [r for r in read_scalars_of(run) if 'loss' in r] for run in runs}
    logs = {name: records for name, records in logs.items() if records}
    if not logs:
        return None
    figure = Figure((10, 3.4), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for number, (name, records) in enumerate(logs.items()):
        parts = [key for key in records[-1] if 'loss' in key and key != 'loss']
        keys = parts if len(logs) == 1 else []
        for place, key in enumerate(['loss', *keys]):
            points = [(r['step'], r[key]) for r in records if math.isfinite(r.get(key, math.nan))]
            left.plot(
                *np.array(points).reshape(-1, 2).T,
                color=PALETTE[(place + number) % len(PALETTE)],
                linestyle=_STYLES[(number + place // len(PALETTE)) % len(_STYLES)],
                linewidth=2 if key == 'loss' else 1.2,
                label=key if len(logs) == 1 else name,
            )
        rates = np.array([(r['step'], r.get('lr', math.nan)) for r in records])
        right.plot(*rates.T, color=PALETTE[number], linestyle=_STYLES[number], label=name)
    left.set_ylabel('loss', fontsize=9)
    right.set_ylabel('learning rate', fontsize=9)
    for axes in (left, right):
        axes.set_xlabel('step', fontsize=9)
        axes.grid(color='#DDDDDD', linewidth=0.6)
        axes.tick_params(labelsize=8)
        shorten_legend(axes.legend(frameon=False, fontsize=7), 0.8 * axes.bbox.width)
        for side in ('top', 'right'):
            axes.spines[side].set_visible(False)
    return figure


def read_scalars_of(run: Run) -> list[dict]:
    """Records of the training in a run's folder, or in its folder ``train``."""
    return read_scalars(run.folder) or read_scalars(run.folder / 'train')


def _png(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode("ascii")}'
