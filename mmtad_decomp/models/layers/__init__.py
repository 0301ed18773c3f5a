"""Building blocks of masked sequence models, on features ``(N, C, T)`` and masks ``(N, T)``."""

from .conv_attention import ConvAttention
from .drop_path import ScaledDropPath, drop_path
from .masked_conv import MaskedConv1d, downsample_mask
from .masked_norm import MaskedLayerNorm
from .position import sinusoidal_positions
from .small_map_conv import SmallMapConv2d
from .transformer_block import TransformerBlock

__all__ = [
    'ConvAttention',
    'MaskedConv1d',
    'MaskedLayerNorm',
    'ScaledDropPath',
    'SmallMapConv2d',
    'TransformerBlock',
    'downsample_mask',
    'drop_path',
    'sinusoidal_positions',
]
