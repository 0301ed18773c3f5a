"""Detection heads and the parts that they are made of."""

from .actionformer_head import ActionFormerHead
from .afsd_head import AFSDHead
from .base_head import TemporalHead
from .conv_transformer_encoder import ConvTransformerEncoder
from .gtad_branches import NodeBranch, ScoreMapBranch
from .gtad_head import GTADHead
from .point_branches import ClassificationBranch, RegressionBranch
from .point_head import PointHead
from .tadtr_head import TadTRHead
from .tags_branches import GlobalMaskBranch
from .tags_head import TAGSHead
from .temporal_pyramid import TemporalPyramid

__all__ = [
    'AFSDHead',
    'ActionFormerHead',
    'ClassificationBranch',
    'ConvTransformerEncoder',
    'GTADHead',
    'GlobalMaskBranch',
    'NodeBranch',
    'PointHead',
    'RegressionBranch',
    'ScoreMapBranch',
    'TAGSHead',
    'TadTRHead',
    'TemporalHead',
    'TemporalPyramid',
]
