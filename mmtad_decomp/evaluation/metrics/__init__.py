"""Metrics that MMEngine's evaluator builds from configs."""

from .boundary_proposal_metric import BoundaryProposalMetric
from .proposal_metric import ProposalMetric
from .tad_metric import TADMetric

__all__ = ['BoundaryProposalMetric', 'ProposalMetric', 'TADMetric']
