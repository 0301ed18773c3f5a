"""TadTR's encoder: features of one or more levels, refined by deformable self-attention."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...layers import MaskedConv1d, MaskedGroupNorm, downsample_mask
from .layers import EncoderLayer, Memory


def relative_positions(mask: Tensor, channels: int) -> Tensor:
    """Sine and cosine of the position within the valid steps (Carion et al., "DETR", 2020).

    The t-th valid step (counted from 1) of v has the angle ``2 pi t / v``; channels 2c and 2c + 1
    hold sine and cosine of ``angle / 10000 ** (2c / channels)``.

    Args:
        mask: ``(N, T)`` bool, True = valid.
        channels: Even number of channels.

    Returns:
        ``(N, T, channels)`` float32.
    """
    count = mask.cumsum(1, dtype=torch.float32)
    angle = count / (count[:, -1:] + 1e-6) * (2 * math.pi)
    power = torch.arange(0, channels, 2, dtype=torch.float32, device=mask.device) / channels
    angle = angle[..., None] / 10000.0**power
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(2)


def step_centers(memory: Memory) -> Tensor:
    """Where each step of each level lies in every level: ``(N, S, L)`` in that level's steps.

    Step t of v valid ones lies at the share ``(t + 0.5) / v`` of the window.
    """
    lengths = memory.lengths
    shares = [
        (torch.arange(steps, device=lengths.device) + 0.5) / lengths[:, level, None].clamp(min=1)
        for level, steps in enumerate(memory.level_steps)
    ]
    return torch.cat(shares, dim=1)[..., None] * lengths[:, None] - 0.5


class TadTREncoder(nn.Module):
    """Project features, make further levels, and let every step read around itself.

    Args:
        in_channels: Channels of the features.
        embed_dims: Width D, even and a multiple of ``num_groups`` and ``num_heads``.
        num_layers: Layers.
        num_levels: Levels L; each further one halves the steps by a convolution of width 3.
        num_groups: Groups of the normalisation after each projection.
        **layer: Other arguments of every :class:`EncoderLayer`.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        num_layers: int,
        num_levels: int,
        num_groups: int,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.projections, self.norms = nn.ModuleList(), nn.ModuleList()
        for level in range(num_levels):
            kernel, stride = (3, 2) if level else (1, 1)
            conv = MaskedConv1d(embed_dims if level else in_channels, embed_dims, kernel, stride)
            nn.init.xavier_uniform_(conv.conv.weight)
            self.projections.append(conv)
            self.norms.append(MaskedGroupNorm(num_groups, embed_dims))
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dims, num_levels=num_levels, **layer) for _ in range(num_layers)
        )

    def forward(self, feats: Tensor, masks: Tensor) -> Memory:
        """Encode.

        Args:
            feats: ``(N, in_channels, T)``, finite everywhere.
            masks: ``(N, T)`` bool, True = valid; the valid steps come first.
        """
        levels, level_masks, positions = [], [], []
        for index, (conv, norm) in enumerate(zip(self.projections, self.norms)):
            feats = conv(feats, masks)
            masks = downsample_mask(masks, conv.stride)
            feats = norm(feats, masks)
            levels.append(feats.transpose(1, 2))
            level_masks.append(masks)
            waves = relative_positions(masks, feats.shape[1])
            positions.append(waves + self.level_embed[index])
        memory = Memory(
            torch.cat(levels, dim=1),
            torch.cat(level_masks, dim=1),
            tuple(mask.shape[1] for mask in level_masks),
            torch.stack([mask.sum(1) for mask in level_masks], dim=1).float(),
        )
        centers, embedding = step_centers(memory), torch.cat(positions, dim=1)
        for layer in self.layers:
            memory = layer(memory, embedding, centers)
        return memory
