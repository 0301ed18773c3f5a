"""Metrics that MMEngine's evaluator builds from configs."""

from .boundary_proposal_metric import BoundaryProposalMetric
from .localizer_proposal_metric import LocalizerProposalMetric
from .proposal_metric import ProposalMetric
from .tad_metric import TADMetric

__all__ = ['BoundaryProposalMetric', 'LocalizerProposalMetric', 'ProposalMetric', 'TADMetric']
