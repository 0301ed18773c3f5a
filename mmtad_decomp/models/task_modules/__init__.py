"""Points of a temporal pyramid and the targets assigned to them."""

from .center_sampling_assigner import CenterSamplingAssigner, PointTargets
from .point_generator import PointGenerator, Points, default_regress_ranges

__all__ = [
    'CenterSamplingAssigner',
    'PointGenerator',
    'PointTargets',
    'Points',
    'default_regress_ranges',
]
