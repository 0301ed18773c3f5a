"""Pictures of detections.

Drawing modules are imported with the first function that is asked for: matplotlib takes half a
second, and a training draws nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .tad_visualizer import TADVisualizer

if TYPE_CHECKING:
    from .annotated_video import annotate_frames, write_video
    from .overview import best_detections, draw_overview
    from .precision_recall_plots import plot_class_ap, plot_precision_recall, precision_recall
    from .timeline import draw_timeline, figure_to_image, save_figure, score_curve
    from .window import draw_window

__all__ = [
    'TADVisualizer',
    'annotate_frames',
    'best_detections',
    'draw_overview',
    'draw_timeline',
    'draw_window',
    'figure_to_image',
    'plot_class_ap',
    'plot_precision_recall',
    'precision_recall',
    'save_figure',
    'score_curve',
    'write_video',
]

_DRAWING = dict(
    annotated_video=('annotate_frames', 'write_video'),
    overview=('best_detections', 'draw_overview'),
    precision_recall_plots=('plot_class_ap', 'plot_precision_recall', 'precision_recall'),
    timeline=('draw_timeline', 'figure_to_image', 'save_figure', 'score_curve'),
    window=('draw_window',),
)


def __getattr__(name: str) -> Any:
    for module, names in _DRAWING.items():
        if name in names:
            return getattr(import_module(f'.{module}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
