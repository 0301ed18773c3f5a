"""Building blocks of masked sequence models, on features ``(N, C, T)`` and masks ``(N, T)``."""

from .attention_heads import check_heads
from .boundary_pooling import (
    MAX_EXPORTED_STEPS,
    boundary_max_pool,
    boundary_windows,
    window_max,
)
from .conv_attention import ConvAttention
from .drop_path import ScaledDropPath, drop_path
from .fold_batch_norms import fold_batch_norms
from .gcnext import GCNeXtBlock, mean_of_neighbors, nearest_steps
from .masked_conv import MaskedConv1d, downsample_mask
from .masked_group_norm import MaskedGroupNorm
from .masked_layer_norm import MaskedLayerNorm
from .position import sinusoidal_positions
from .sg_align import SGAlignConv
from .small_map_conv import SmallMapConv2d
from .straight_through import recoverable_sigmoid, straight_through_clamp
from .temporal_deformable_attention import TemporalDeformableAttention, deformable_sampling
from .temporal_roi_align import temporal_roi_align
from .transformer_block import TransformerBlock

__all__ = [
    'MAX_EXPORTED_STEPS',
    'ConvAttention',
    'GCNeXtBlock',
    'MaskedConv1d',
    'MaskedGroupNorm',
    'MaskedLayerNorm',
    'SGAlignConv',
    'ScaledDropPath',
    'SmallMapConv2d',
    'TemporalDeformableAttention',
    'TransformerBlock',
    'boundary_max_pool',
    'boundary_windows',
    'check_heads',
    'deformable_sampling',
    'downsample_mask',
    'drop_path',
    'fold_batch_norms',
    'mean_of_neighbors',
    'nearest_steps',
    'recoverable_sigmoid',
    'sinusoidal_positions',
    'straight_through_clamp',
    'temporal_roi_align',
    'window_max',
]
