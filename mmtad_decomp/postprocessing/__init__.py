"""What turns the raw candidates of a video into its detections."""

from .nms import nms_1d, segment_voting, soft_nms_1d
from .post_processor import Detections, PostProcessor

__all__ = ['Detections', 'PostProcessor', 'nms_1d', 'segment_voting', 'soft_nms_1d']
