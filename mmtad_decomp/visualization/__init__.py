"""Pictures of detections."""

from .annotated_video import annotate_frames, write_video
from .overview import draw_overview
from .precision_recall_plots import plot_class_ap, plot_precision_recall, precision_recall
from .tad_visualizer import TADVisualizer
from .timeline import draw_timeline, figure_to_image, save_figure, score_curve
from .window import draw_window

__all__ = [
    'TADVisualizer',
    'annotate_frames',
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
