"""Points of a temporal pyramid, and how targets are assigned to predictions."""

from .boundary_targets import boundary_targets
from .center_sampling_assigner import CenterSamplingAssigner, PointTargets
from .hungarian_assigner import HungarianAssigner, Matches, solve_assignments
from .mask_targets import MaskTargets, mask_targets
from .point_generator import PointGenerator, Points, default_regress_ranges
from .score_map_targets import ScoreMapTargetGenerator, ScoreMapTargets

__all__ = [
    'CenterSamplingAssigner',
    'HungarianAssigner',
    'MaskTargets',
    'Matches',
    'PointGenerator',
    'PointTargets',
    'Points',
    'ScoreMapTargetGenerator',
    'ScoreMapTargets',
    'boundary_targets',
    'default_regress_ranges',
    'mask_targets',
    'solve_assignments',
]
