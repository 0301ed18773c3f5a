"""Losses of detection and of distillation."""

from .feature_mimic_loss import FeatureMimicLoss
from .point_prediction_mimic_loss import PointPredictionMimicLoss
from .segment_iou_loss import SegmentDIoULoss, SegmentGIoULoss
from .sigmoid_focal_loss import SigmoidFocalLoss

__all__ = [
    'FeatureMimicLoss',
    'PointPredictionMimicLoss',
    'SegmentDIoULoss',
    'SegmentGIoULoss',
    'SigmoidFocalLoss',
]
