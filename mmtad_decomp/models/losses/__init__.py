"""Losses of detection and of distillation."""

from .afsd_prediction_mimic_loss import AFSDPredictionMimicLoss
from .balanced_bce_loss import BalancedBCELoss, balanced_bce_loss
from .batch_focal_loss import BatchFocalLoss
from .boundary_activation_loss import BoundaryActivationLoss
from .boundary_contrastive_loss import BoundaryContrastiveLoss
from .elementwise_loss import ElementwiseLoss
from .feature_mimic_loss import FeatureMimicLoss
from .mask_losses import BranchConsistencyLoss, MaskBoundaryLoss, MaskDiceLoss
from .mask_prediction_mimic_loss import MaskPredictionMimicLoss
from .point_prediction_mimic_loss import PointPredictionMimicLoss
from .prediction_mimic_loss import OutputsMimicLoss, PredictionMimicLoss
from .proposal_mimic_loss import ProposalMimicLoss
from .query_prediction_mimic_loss import QueryPredictionMimicLoss
from .score_map_mimic_loss import GTADPredictionMimicLoss, ScoreMapMimicLoss
from .score_map_regression_loss import ScoreMapRegressionLoss
from .segment_iou_loss import SegmentDIoULoss, SegmentGIoULoss, SegmentIoULoss
from .sigmoid_focal_loss import SigmoidFocalLoss

__all__ = [
    'AFSDPredictionMimicLoss',
    'BalancedBCELoss',
    'BatchFocalLoss',
    'BoundaryActivationLoss',
    'BoundaryContrastiveLoss',
    'BranchConsistencyLoss',
    'ElementwiseLoss',
    'FeatureMimicLoss',
    'GTADPredictionMimicLoss',
    'MaskBoundaryLoss',
    'MaskDiceLoss',
    'MaskPredictionMimicLoss',
    'OutputsMimicLoss',
    'PointPredictionMimicLoss',
    'PredictionMimicLoss',
    'ProposalMimicLoss',
    'QueryPredictionMimicLoss',
    'ScoreMapMimicLoss',
    'ScoreMapRegressionLoss',
    'SegmentDIoULoss',
    'SegmentGIoULoss',
    'SegmentIoULoss',
    'SigmoidFocalLoss',
    'balanced_bce_loss',
]
