"""Metrics that MMEngine's evaluator builds from configs."""

from .proposal_metric import ProposalMetric
from .tad_metric import TADMetric

__all__ = ['ProposalMetric', 'TADMetric']
