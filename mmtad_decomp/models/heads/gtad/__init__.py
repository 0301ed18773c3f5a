"""G-TAD: a map of scores over all pairs of start and duration."""

from .branches import NodeBranch, ScoreMapBranch
from .gtad_head import GTADHead

__all__ = ['GTADHead', 'NodeBranch', 'ScoreMapBranch']
