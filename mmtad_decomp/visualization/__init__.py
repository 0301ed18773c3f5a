"""Pictures of detections."""

from .tad_visualizer import TADVisualizer
from .timeline import draw_timeline, figure_to_image, save_figure

__all__ = ['TADVisualizer', 'draw_timeline', 'figure_to_image', 'save_figure']
