"""Detection heads and the parts that they are made of."""

from .actionformer_head import ActionFormerHead
from .afsd_head import AFSDHead
from .afsd_outputs import AFSDOutputs
from .base_head import PointOutputs, TemporalHead
from .conv_transformer_encoder import ConvTransformerEncoder
from .gtad_branches import NodeBranch, ScoreMapBranch
from .gtad_head import GTADHead
from .gtad_outputs import ScoreMapOutputs
from .point_branches import ClassificationBranch, RegressionBranch
from .point_head import PointHead
from .tadtr_head import TadTRHead
from .tadtr_outputs import QueryOutputs
from .tags_branches import GlobalMaskBranch
from .tags_head import TAGSHead
from .tags_outputs import MaskOutputs
from .temporal_pyramid import TemporalPyramid

__all__ = [
    'AFSDHead',
    'AFSDOutputs',
    'ActionFormerHead',
    'ClassificationBranch',
    'ConvTransformerEncoder',
    'GTADHead',
    'GlobalMaskBranch',
    'MaskOutputs',
    'NodeBranch',
    'PointHead',
    'PointOutputs',
    'QueryOutputs',
    'RegressionBranch',
    'ScoreMapBranch',
    'ScoreMapOutputs',
    'TAGSHead',
    'TadTRHead',
    'TemporalHead',
    'TemporalPyramid',
]
