"""ActionFormer: points on a pyramid, a transformer with local attention."""

from .actionformer_head import ActionFormerHead
from .conv_transformer_encoder import ConvTransformerEncoder
from .temporal_pyramid import TemporalPyramid

__all__ = ['ActionFormerHead', 'ConvTransformerEncoder', 'TemporalPyramid']
