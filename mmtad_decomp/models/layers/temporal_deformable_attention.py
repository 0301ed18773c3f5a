"""Attention to a few learnt positions in time around a reference (deformable attention)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_heads import check_heads


def deformable_sampling(
    values: Tensor, positions: Tensor, weights: Tensor, level_steps: Sequence[int]
) -> Tensor:
    """Weighted sum of linearly interpolated values at fractional steps.

    Step t of a level lies at position t; between steps values are interpolated, and beyond the
    first and the last step they fall to zero within one step. Computed in the dtype of
    ``positions``, which should be float32 or better: half precision cannot tell steps apart.

    Args:
        values: ``(N, S, H, C)``, the steps of all levels one after the other, per attention head.
        positions: ``(N, Q, H, L, P)`` in steps of the level.
        weights: ``(N, Q, H, L, P)``.
        level_steps: Steps of each of the L levels; they add up to S.

    Returns:
        ``(N, Q, H, C)`` in the dtype of ``positions``.
    """
    batch, queries, heads, _, points = positions.shape
    channels = values.shape[-1]
    parts = []
    for level, rows in enumerate(values.to(positions.dtype).split(list(level_steps), dim=1)):
        # One row of "pixels" per head: (N*H, C, 1, T).
        rows = rows.permute(0, 2, 3, 1).reshape(batch * heads, channels, 1, -1)
        at = positions[:, :, :, level].transpose(1, 2).reshape(-1, queries, points)
        grid = (2 * at + 1) / level_steps[level] - 1
        grid = torch.stack((grid, torch.zeros_like(grid)), dim=-1)
        samples = F.grid_sample(rows, grid, align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(-1, 1, queries, points)
        parts.append((samples * share.to(samples.dtype)).sum(-1))
    total = reduce(torch.add, parts)
    return total.view(batch, heads, channels, queries).permute(0, 3, 1, 2)


class TemporalDeformableAttention(nn.Module):
    """Every head of every query reads ``num_points`` positions per level and mixes them.

    Positions are predicted relative to a reference (Zhu et al., "Deformable DETR", ICLR 2021, in
    one dimension as in Liu et al., "TadTR", TIP 2022): for a point as offsets in steps, for a
    segment as offsets in units of half its width, divided by ``num_points``.

    Args:
        embed_dims: Channels D of queries and values.
        num_heads: Attention heads H.
        num_levels: Levels L.
        num_points: Positions P per head and level.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(
        self, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 1, num_points: int = 4
    ) -> None:
        super().__init__()
        check_heads(embed_dims, num_heads)
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        self.sampling_offsets = nn.Linear(embed_dims, num_heads * num_levels * num_points)
        self.attention_weights = nn.Linear(embed_dims, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with even weights, on positions spread to both sides of the reference.

        Head h looks into direction ``cos(4 pi h / H)``, its point p at p + 1 times that.
        """
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        heads = torch.arange(self.num_heads, dtype=torch.float32)
        direction = torch.cos(heads * (4 * math.pi / self.num_heads))
        distance = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        bias = (direction[:, None] * distance)[:, None].expand(-1, self.num_levels, -1)
        self.sampling_offsets.bias.copy_(bias.flatten())

    def forward(
        self,
        query: Tensor,
        centers: Tensor,
        widths: Tensor | None,
        values: Tensor,
        masks: Tensor,
        level_steps: Sequence[int],
    ) -> Tensor:
        """Attend.

        Args:
            query: ``(N, Q, D)``.
            centers: ``(N, Q, L)`` reference positions in steps of each level.
            widths: ``(N, Q, L)`` widths of the reference segments in steps; None for points.
            values: ``(N, S, D)``, the levels one after the other.
            masks: ``(N, S)`` bool, True = valid; a masked step counts as zero.
            level_steps: Steps of each level; they add up to S.

        Returns:
            ``(N, Q, D)``.
        """
        batch, queries, dims = query.shape
        shape = (batch, queries, self.num_heads, self.num_levels, self.num_points)
        precise = torch.promote_types(query.dtype, torch.float32)
        offsets = self.sampling_offsets(query).to(precise).view(shape)
        if widths is not None:
            offsets = offsets * (0.5 / self.num_points) * widths[:, :, None, :, None]
        positions = centers[:, :, None, :, None] + offsets
        weights = self.attention_weights(query).to(precise)
        weights = weights.view(batch, queries, self.num_heads, -1).softmax(-1).view(shape)
        values = self.value_proj(values).masked_fill(~masks[..., None], 0)
        values = values.view(batch, values.shape[1], self.num_heads, -1)
        mixed = deformable_sampling(values, positions, weights, level_steps)
        return self.output_proj(mixed.reshape(batch, queries, dims).to(query.dtype))
