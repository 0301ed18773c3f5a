"""Building blocks of masked sequence models, on features ``(N, C, T)`` and masks ``(N, T)``."""

from .conv_attention import ConvAttention
from .drop_path import ScaledDropPath, drop_path
from .masked_conv import MaskedConv1d, downsample_mask
from .masked_norm import MaskedLayerNorm
from .position import sinusoidal_positions
from .transformer_block import TransformerBlock

__all__ = [
    'ConvAttention',
    'MaskedConv1d',
    'MaskedLayerNorm',
    'ScaledDropPath',
    'TransformerBlock',
    'downsample_mask',
    'drop_path',
    'sinusoidal_positions',
]
