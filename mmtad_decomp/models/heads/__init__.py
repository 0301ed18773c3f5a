"""Detection heads and the parts that they are made of."""

from .actionformer_head import ActionFormerHead
from .base_head import PointOutputs, TemporalHead
from .conv_transformer_encoder import ConvTransformerEncoder
from .gtad_branches import NodeBranch, ScoreMapBranch
from .gtad_head import GTADHead
from .gtad_outputs import ScoreMapOutputs
from .point_branches import ClassificationBranch, RegressionBranch
from .point_head import PointHead
from .tadtr_head import TadTRHead
from .tadtr_outputs import QueryOutputs
from .temporal_pyramid import TemporalPyramid

__all__ = [
    'ActionFormerHead',
    'ClassificationBranch',
    'ConvTransformerEncoder',
    'GTADHead',
    'NodeBranch',
    'PointHead',
    'PointOutputs',
    'QueryOutputs',
    'RegressionBranch',
    'ScoreMapBranch',
    'ScoreMapOutputs',
    'TadTRHead',
    'TemporalHead',
    'TemporalPyramid',
]
