"""TadTR's decoder, which refines the queries' segments layer by layer, and their actionness."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mmtad_decomp.structures import center_width_to_start_end

from ...layers import recoverable_sigmoid, temporal_roi_align
from .layers import MLP, DecoderLayer, Memory


class TadTRDecoder(nn.Module):
    """Queries that look for segments; every layer predicts and moves them.

    A layer's segment is the sigmoid of its correction plus the logit of the segment before it,
    which the layer also looks around. Before the first layer a query has a centre alone. The
    gradient does not pass from one layer's segments to those before.

    Args:
        embed_dims: Width D.
        num_layers: Layers L.
        num_queries: Queries Q.
        num_classes: Classes K.
        prior_prob: Probability that the classifiers' biases give every class at first.
        **layer: Arguments of every :class:`DecoderLayer`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_layers: int,
        num_queries: int,
        num_classes: int,
        prior_prob: float,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.query_positions = nn.Parameter(torch.randn(num_queries, embed_dims))
        self.query_content = nn.Parameter(torch.randn(num_queries, embed_dims))
        self.reference = nn.Linear(embed_dims, 1)
        nn.init.xavier_uniform_(self.reference.weight)
        nn.init.zeros_(self.reference.bias)
        self.layers = nn.ModuleList(DecoderLayer(embed_dims, **layer) for _ in range(num_layers))
        self.cls_branches, self.segment_branches = nn.ModuleList(), nn.ModuleList()
        for index in range(num_layers):
            classifier = nn.Linear(embed_dims, num_classes)
            nn.init.constant_(classifier.bias, -math.log((1 - prior_prob) / prior_prob))
            regressor = MLP((embed_dims, embed_dims, embed_dims, 2))
            nn.init.zeros_(regressor[-1].weight)
            nn.init.zeros_(regressor[-1].bias)
            if index == 0:
                nn.init.constant_(regressor[-1].bias[1:], -2.0)
            self.cls_branches.append(classifier)
            self.segment_branches.append(regressor)

    def forward(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            memory: Result of the encoder.

        Returns:
            Class logits ``(L, N, Q, K)`` and segments ``(L, N, Q, 2)``: centres and widths as
            shares of the valid length, float32.
        """
        batch, lengths = memory.feats.shape[0], memory.lengths[:, None]
        positions = self.query_positions.expand(batch, -1, -1)
        queries = self.query_content.expand(batch, -1, -1)
        segments = recoverable_sigmoid(self.reference(positions))
        logits, refined = [], []
        for layer, classify, regress in zip(self.layers, self.cls_branches, self.segment_branches):
            widths = segments[..., 1:] * lengths if segments.shape[-1] == 2 else None
            centers = segments[..., :1] * lengths - 0.5
            queries = layer(queries, positions, centers, widths, memory)
            before = segments.logit(eps=1e-5)
            if widths is None:
                before = torch.cat((before, torch.zeros_like(before)), dim=-1)
            current = recoverable_sigmoid(regress(queries) + before)
            logits.append(classify(queries))
            refined.append(current)
            segments = current.detach()
        return torch.stack(logits), torch.stack(refined)


class ActionnessBranch(nn.Module):
    """How well a segment fits an action, from the encoded features inside and around it.

    Args:
        embed_dims: Width D of the features.
        num_bins: Bins of the RoIAlign.
        scale: Factor by which a segment is widened.
        aligned: See :func:`~mmtad_decomp.models.layers.temporal_roi_align`.
    """

    def __init__(self, embed_dims: int, num_bins: int, scale: float, aligned: bool) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.scale = scale
        self.aligned = aligned
        self.mlp = MLP((num_bins * embed_dims, embed_dims, embed_dims, 1))

    def forward(self, memory: Memory, segments: Tensor) -> Tensor:
        """Predict.

        Args:
            memory: Result of the encoder; its first level is read.
            segments: ``(N, Q, 2)`` centres and widths as shares of the valid length. No gradient
                flows into them.

        Returns:
            ``(N, Q)`` in (0, 1), float32.
        """
        feats = memory.feats[:, : memory.level_steps[0]].transpose(1, 2)
        lengths = memory.lengths[:, 0]
        widened = segments.detach() * segments.new_tensor((1.0, self.scale))
        shares = center_width_to_start_end(widened).clamp(0, 1)
        pooled = temporal_roi_align(
            feats, shares * lengths[:, None, None], lengths, self.num_bins, self.aligned
        )
        return recoverable_sigmoid(self.mlp(pooled.flatten(2))).squeeze(-1)
