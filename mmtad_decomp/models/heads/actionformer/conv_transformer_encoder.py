"""ActionFormer's encoder: convolutions, then transformer blocks that halve the sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...layers import MaskedConv1d, MaskedLayerNorm, TransformerBlock, sinusoidal_positions


@MODELS.register_module()
class ConvTransformerEncoder(BaseModule):
    """Features of one scale to features of ``num_levels`` scales with strides 1, 2, 4, ...

    Embedding convolutions, stem blocks at full length, then one downsampling block per further
    level (Zhang et al., "ActionFormer", ECCV 2022). The defaults are ActionFormer's for THUMOS'14.

    Args:
        in_channels: Channels of the features.
        embed_dims: Width of the encoder.
        num_levels: Levels; there are ``num_levels - 1`` downsampling blocks.
        num_embed_layers: Embedding convolutions.
        embed_kernel_size: Their kernel size.
        num_stem_layers: Transformer blocks at full length.
        num_heads: Attention heads.
        window_size: Odd width of the attention's window, or one per level; None is global.
        dropout: Dropout within the blocks.
        drop_path: Probability to drop a residual branch of a sample.
        layer_scale: First value of the residual branches' scale per channel; None leaves it out.
        position_length: Add a sinusoidal position embedding of this many steps, which is
            stretched for longer sequences; None leaves it out.

    Raises:
        ValueError: If ``num_levels`` is not positive, or ``window_size`` has not one value per
            level.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 512,
        num_levels: int = 6,
        num_embed_layers: int = 2,
        embed_kernel_size: int = 3,
        num_stem_layers: int = 2,
        num_heads: int = 4,
        window_size: int | Sequence[int | None] | None = 19,
        dropout: float = 0.0,
        drop_path: float = 0.1,
        layer_scale: float | None = 1e-4,
        position_length: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_levels < 1:
            raise ValueError(f'num_levels must be at least 1, got {num_levels}')
        if window_size is None or isinstance(window_size, int):
            window_size = [window_size] * num_levels
        if len(window_size) != num_levels:
            raise ValueError(
                f'window_size needs one value or one per level: {num_levels} levels, '
                f'{len(window_size)} values'
            )
        self.in_channels = in_channels
        self.out_channels = embed_dims
        self.strides = tuple(2**level for level in range(num_levels))
        self.window_sizes = tuple(window_size)
        self.position_length = position_length

        self.embed_convs, self.embed_norms = nn.ModuleList(), nn.ModuleList()
        for i in range(num_embed_layers):
            channels = embed_dims if i else in_channels
            self.embed_convs.append(
                MaskedConv1d(channels, embed_dims, embed_kernel_size, bias=False)
            )
            self.embed_norms.append(MaskedLayerNorm(embed_dims))
        if position_length is not None:
            table = sinusoidal_positions(position_length, embed_dims) / math.sqrt(embed_dims)
            self.register_buffer('positions', table[None], persistent=False)

        def block(level: int, stride: int) -> TransformerBlock:
            return TransformerBlock(
                embed_dims,
                num_heads,
                window_size=self.window_sizes[level],
                stride=stride,
                dropout=dropout,
                drop_path=drop_path,
                layer_scale=layer_scale,
            )

        self.stem = nn.ModuleList(block(0, 1) for _ in range(num_stem_layers))
        self.branch = nn.ModuleList(block(level, 2) for level in range(1, num_levels))

    def _add_positions(self, x: Tensor, mask: Tensor) -> Tensor:
        table, steps = self.positions, x.shape[2]
        if steps > table.shape[2]:
            table = F.interpolate(table, size=steps, mode='linear', align_corners=False)
        return x + (table[:, :, :steps] * mask[:, None]).to(x.dtype)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Encode.

        Args:
            x: ``(N, C, T)``, T a multiple of the largest stride.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            Features ``(N, embed_dims, T / stride)`` and masks ``(N, T / stride)`` of every level.

        Raises:
            ValueError: If T is not a multiple of the largest stride.
        """
        if x.shape[2] % self.strides[-1]:
            raise ValueError(
                f'the encoder needs a multiple of {self.strides[-1]} steps, got {x.shape[2]}; pad '
                'the features and the mask'
            )
        for conv, norm in zip(self.embed_convs, self.embed_norms):
            x = torch.relu(norm(conv(x, mask)))
        if self.position_length is not None:
            x = self._add_positions(x, mask)
        for block in self.stem:
            x, mask = block(x, mask)
        feats, masks = [x], [mask]
        for block in self.branch:
            x, mask = block(x, mask)
            feats.append(x)
            masks.append(mask)
        return tuple(feats), tuple(masks)
