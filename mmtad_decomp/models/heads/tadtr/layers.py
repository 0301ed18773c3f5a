"""Layers of TadTR's encoder and decoder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ...layers import TemporalDeformableAttention


class Memory(NamedTuple):
    """Encoded features of one or more levels, one level after the other.

    Attributes:
        feats: ``(N, S, D)``.
        masks: ``(N, S)`` bool, True = valid.
        level_steps: Steps of each of the L levels, padding included; they add up to S.
        lengths: ``(N, L)`` float32 valid steps of each level.
    """

    feats: Tensor
    masks: Tensor
    level_steps: tuple[int, ...]
    lengths: Tensor


def initialise_transformer(layer: nn.Module) -> None:
    """Initialise as Deformable DETR and TadTR do, in place.

    Every matrix is drawn from Xavier's uniform distribution. Deformable attention then starts
    with its own even weights and spread positions.

    Args:
        layer: An encoder or decoder layer.
    """
    for parameter in layer.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
    for module in layer.modules():
        if isinstance(module, TemporalDeformableAttention):
            module.reset_parameters()


class FeedForward(nn.Sequential):
    """Two linear layers with a ReLU and dropout between them.

    Args:
        embed_dims: Width of input and output.
        hidden_dims: Width between.
        dropout: Dropout rate.
    """

    def __init__(self, embed_dims: int, hidden_dims: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(embed_dims, hidden_dims),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dims, embed_dims),
        )


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each followed by a layer norm.

    Args:
        embed_dims: Width D.
        hidden_dims: Width of the feed-forward network.
        num_heads: Attention heads.
        num_levels: Levels.
        num_points: Sampled positions per head and level.
        dropout: Dropout rate.
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attn = TemporalDeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, hidden_dims, dropout)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        initialise_transformer(self)

    def forward(self, memory: Memory, positions: Tensor, centers: Tensor) -> Memory:
        """Encode.

        Args:
            memory: Features so far.
            positions: ``(N, S, D)`` position embedding, added to the queries.
            centers: ``(N, S, L)`` where each step lies in each level.
        """
        feats, masks, level_steps, _ = memory
        mixed = self.attn(feats + positions, centers, None, feats, masks, level_steps)
        feats = self.norm1(feats + self.dropout(mixed))
        feats = self.norm2(feats + self.dropout(self.ffn(feats)))
        return memory._replace(feats=feats)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, deformable attention to the memory, feed-forward network.

    Args:
        embed_dims: Width D.
        hidden_dims: Width of the feed-forward network.
        num_heads: Attention heads.
        num_levels: Levels of the memory.
        num_points: Sampled positions per head and level.
        dropout: Dropout rate.
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.cross_attn = TemporalDeformableAttention(
            embed_dims, num_heads, num_levels, num_points
        )
        self.norm2 = nn.LayerNorm(embed_dims)
        self.ffn = FeedForward(embed_dims, hidden_dims, dropout)
        self.norm3 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        initialise_transformer(self)

    def forward(
        self,
        queries: Tensor,
        positions: Tensor,
        centers: Tensor,
        widths: Tensor | None,
        memory: Memory,
    ) -> Tensor:
        """Decode.

        Args:
            queries: ``(N, Q, D)``.
            positions: ``(N, Q, D)`` embedding that tells the queries apart.
            centers: ``(N, Q, L)`` reference centres in steps of each level.
            widths: ``(N, Q, L)`` reference widths in steps, or None.
            memory: Result of the encoder.
        """
        placed = queries + positions
        mixed = self.self_attn(placed, placed, queries, need_weights=False)[0]
        queries = self.norm1(queries + self.dropout(mixed))
        read = self.cross_attn(
            queries + positions, centers, widths, memory.feats, memory.masks, memory.level_steps
        )
        queries = self.norm2(queries + self.dropout(read))
        return self.norm3(queries + self.dropout(self.ffn(queries)))


class MLP(nn.Sequential):
    """Linear layers with ReLUs between them.

    Args:
        dims: Width of the input, of each layer's output in turn.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(dims):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])
