"""Pictures of detections."""

from .overview import draw_overview
from .tad_visualizer import TADVisualizer
from .timeline import draw_timeline, figure_to_image, save_figure

__all__ = ['TADVisualizer', 'draw_overview', 'draw_timeline', 'figure_to_image', 'save_figure']
