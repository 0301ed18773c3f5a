"""Projections between backbone and head."""

from .dual_branch_neck import BranchFeatures, DualBranchNeck
from .temporal_projection import TemporalProjection

__all__ = ['BranchFeatures', 'DualBranchNeck', 'TemporalProjection']
