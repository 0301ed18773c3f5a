"""Evaluation on NumPy arrays, without files, registries or processes."""

from .average_precision import (
    average_precision,
    mean_over_classes,
    recall_at_kx,
)
from .matching import match_predictions
from .proposals import ProposalRecall, average_recall
from .tables import GroundTruth, Predictions

__all__ = [
    'GroundTruth',
    'Predictions',
    'ProposalRecall',
    'average_precision',
    'average_recall',
    'match_predictions',
    'mean_over_classes',
    'recall_at_kx',
]
