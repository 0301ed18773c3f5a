"""ActionFormer's encoder: convolutions, then transformer blocks that halve the sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from ...layers import TransformerBlock, sinusoidal_positions
from ..level_encoder import LevelEncoder


@MODELS.register_module()
class ConvTransformerEncoder(LevelEncoder):
    """Features of one scale to features of ``num_levels`` scales with strides 1, 2, 4, ...

    Embedding convolutions, stem blocks at full length, then one downsampling block per further
    level (Zhang et al., "ActionFormer", ECCV 2022). The defaults are ActionFormer's for THUMOS'14.

    Args:
        in_channels: Channels of the features.
        embed_dims: Width of the encoder.
        num_levels: Levels; there are ``num_levels - 1`` downsampling blocks.
        num_heads: Attention heads.
        window_size: Odd width of the attention's window, or one per level; None is global.
        dropout: Dropout within the blocks.
        drop_path: Probability to drop a residual branch of a sample.
        layer_scale: First value of the residual branches' scale per channel; None leaves it out.
        position_length: Add a sinusoidal position embedding of this many steps, which is
            stretched for longer sequences; None leaves it out.
        **kwargs: Arguments of :class:`LevelEncoder`: ``num_embed_layers``, ``embed_kernel_size``,
            ``num_stem_layers``.

    Raises:
        ValueError: If ``num_levels`` is not positive, or ``window_size`` has not one value per
            level.
    """

    # ActionFormer's padded steps become the norms' biases.
    mask_embedding = False

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 512,
        num_levels: int = 6,
        num_heads: int = 4,
        window_size: int | Sequence[int | None] | None = 19,
        dropout: float = 0.0,
        drop_path: float = 0.1,
        layer_scale: float | None = 1e-4,
        position_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if window_size is None or isinstance(window_size, int):
            window_size = [window_size] * num_levels
        if len(window_size) != num_levels:
            raise ValueError(
                f'window_size needs one value or one per level: {num_levels} levels, '
                f'{len(window_size)} values'
            )
        windows = tuple(window_size)

        def block(level: int, stride: int) -> TransformerBlock:
            return TransformerBlock(
                embed_dims,
                num_heads,
                window_size=windows[level],
                stride=stride,
                dropout=dropout,
                drop_path=drop_path,
                layer_scale=layer_scale,
            )

        super().__init__(in_channels, embed_dims, num_levels, block, **kwargs)
        self.in_channels = in_channels
        self.window_sizes = windows
        self.position_length = position_length
        if position_length is not None:
            table = sinusoidal_positions(position_length, embed_dims) / math.sqrt(embed_dims)
            self.register_buffer('positions', table[None], persistent=False)

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
        x = self.embed(x, mask)
        if self.position_length is not None:
            x = self._add_positions(x, mask)
        return self.levels(x, mask)
