"""Losses of detection and of distillation."""

from .feature_mimic_loss import FeatureMimicLoss
from .point_prediction_mimic_loss import PointPredictionMimicLoss
from .query_prediction_mimic_loss import QueryPredictionMimicLoss
from .segment_iou_loss import SegmentDIoULoss, SegmentGIoULoss, SegmentIoULoss
from .sigmoid_focal_loss import SigmoidFocalLoss

__all__ = [
    'FeatureMimicLoss',
    'PointPredictionMimicLoss',
    'QueryPredictionMimicLoss',
    'SegmentDIoULoss',
    'SegmentGIoULoss',
    'SegmentIoULoss',
    'SigmoidFocalLoss',
]
