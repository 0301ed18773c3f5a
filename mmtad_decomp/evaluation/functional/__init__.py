"""Evaluation on NumPy arrays, without files, registries or processes."""

from .average_precision import (
    average_precision,
    mean_over_classes,
    recall_at_kx,
)
from .matching import match_predictions
from .proposals import ProposalRecall, average_recall
from .resampling import Matches, match_videos, pool_matches, resampled_average_precision
from .tables import GroundTruth, Predictions

__all__ = [
    'GroundTruth',
    'Matches',
    'Predictions',
    'ProposalRecall',
    'average_precision',
    'average_recall',
    'match_predictions',
    'match_videos',
    'mean_over_classes',
    'pool_matches',
    'recall_at_kx',
    'resampled_average_precision',
]
