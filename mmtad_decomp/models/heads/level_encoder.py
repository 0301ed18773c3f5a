"""Base class of encoders that make the levels of a temporal pyramid one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import MaskedConv1d, MaskedLayerNorm


class LevelEncoder(BaseModule):
    """Embedding convolutions, stem layers at full length, one halving layer per further level.

    Args:
        in_channels: Channels of the features.
        embed_dims: Width of the encoder.
        num_levels: Levels, with strides 1, 2, 4, ...
        make_layer: Gives the layer of a level (counted from 0) and a stride (1 in the stem, else
            2); a layer maps features and mask to features and mask.
        num_embed_layers: Embedding convolutions.
        embed_kernel_size: Their kernel size.
        num_stem_layers: Layers at full length.

    Attributes:
        mask_embedding: Whether padded steps stay zero behind the norms of the embedding.

    Raises:
        ValueError: If ``num_levels`` is not positive.
    """

    mask_embedding: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        num_levels: int,
        make_layer: Callable[[int, int], nn.Module],
        /,
        num_embed_layers: int = 2,
        embed_kernel_size: int = 3,
        num_stem_layers: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_levels < 1:
            raise ValueError(f'num_levels must be at least 1, got {num_levels}')
        self.out_channels = embed_dims
        self.strides = tuple(2**level for level in range(num_levels))
        widths = [in_channels] + [embed_dims] * num_embed_layers
        self.embed_convs = nn.ModuleList(
            MaskedConv1d(width, embed_dims, embed_kernel_size, bias=False) for width in widths[:-1]
        )
        self.embed_norms = nn.ModuleList(MaskedLayerNorm(embed_dims) for _ in self.embed_convs)
        self.stem = nn.ModuleList(make_layer(0, 1) for _ in range(num_stem_layers))
        self.branch = nn.ModuleList(make_layer(level, 2) for level in range(1, num_levels))

    def embed(self, x: Tensor, mask: Tensor) -> Tensor:
        """``(N, C, T)`` to ``(N, embed_dims, T)``."""
        for conv, norm in zip(self.embed_convs, self.embed_norms):
            x = torch.relu(norm(conv(x, mask), mask if self.mask_embedding else None))
        return x

    def levels(self, x: Tensor, mask: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Embedded features to ``(N, embed_dims, T_l)`` and the masks ``(N, T_l)`` per level."""
        for layer in self.stem:
            x, mask = layer(x, mask)
        feats, masks = [x], [mask]
        for layer in self.branch:
            x, mask = layer(x, mask)
            feats.append(x)
            masks.append(mask)
        return tuple(feats), tuple(masks)
