"""Detection heads and the parts that they are made of."""

from .actionformer_head import ActionFormerHead
from .base_head import PointOutputs, TemporalHead
from .conv_transformer_encoder import ConvTransformerEncoder
from .point_branches import ClassificationBranch, RegressionBranch
from .tadtr_head import TadTRHead
from .tadtr_outputs import QueryOutputs
from .temporal_pyramid import TemporalPyramid

__all__ = [
    'ActionFormerHead',
    'ClassificationBranch',
    'ConvTransformerEncoder',
    'PointOutputs',
    'QueryOutputs',
    'RegressionBranch',
    'TadTRHead',
    'TemporalHead',
    'TemporalPyramid',
]
