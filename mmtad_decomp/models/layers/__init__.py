"""Building blocks of masked sequence models, on features ``(N, C, T)`` and masks ``(N, T)``."""

from .conv_attention import ConvAttention
from .drop_path import ScaledDropPath, drop_path
from .gcnext import GCNeXtBlock, mean_of_neighbors, nearest_steps
from .masked_conv import MaskedConv1d, downsample_mask
from .masked_norm import MaskedLayerNorm
from .position import sinusoidal_positions
from .sg_align import SGAlignConv, valid_pairs
from .small_map_conv import SmallMapConv2d
from .transformer_block import TransformerBlock

__all__ = [
    'ConvAttention',
    'GCNeXtBlock',
    'MaskedConv1d',
    'MaskedLayerNorm',
    'SGAlignConv',
    'ScaledDropPath',
    'SmallMapConv2d',
    'TransformerBlock',
    'downsample_mask',
    'drop_path',
    'mean_of_neighbors',
    'nearest_steps',
    'sinusoidal_positions',
    'valid_pairs',
]
