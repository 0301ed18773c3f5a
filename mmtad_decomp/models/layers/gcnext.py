"""GCNeXt: graph convolutions over neighbouring and over similar time steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def nearest_steps(feats: Tensor, masks: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` valid steps whose features lie nearest to each step's, itself among them.

    Distances are Euclidean and computed in at least float32, whatever autocast says.

    Args:
        feats: ``(N, C, T)``.
        masks: ``(N, T)`` bool, True = valid.
        k: Neighbours.

    Returns:
        Indices ``(N, T, k')`` with ``k' = min(k, T)``, nearest first, and which of them count
        ``(N, T, k')``. Where a sample has fewer than k' valid steps, the surplus repeats the
        nearest one and does not count; a padded step's row is arbitrary.
    """
    with torch.autocast(feats.device.type, enabled=False):
        feats = feats if feats.element_size() >= 4 else feats.float()
        squares = feats.square().sum(dim=1)
        nearness = 2 * feats.transpose(1, 2) @ feats - squares[:, :, None] - squares[:, None]
        nearness = nearness.masked_fill(~masks[:, None], -torch.inf)
        best, index = nearness.topk(min(k, feats.shape[2]), dim=2)
    counts = best > -torch.inf
    return torch.where(counts, index, index[..., :1]), counts


def gather_steps(feats: Tensor, index: Tensor) -> Tensor:
    """Features of chosen steps: ``(N, C, T)`` and ``(N, T, k)`` to ``(N, C, T, k)``."""
    flat = index.flatten(1)[:, None].expand(-1, feats.shape[1], -1)
    return feats.gather(2, flat).unflatten(2, index.shape[1:])


def mean_of_neighbors(feats: Tensor, masks: Tensor, k: int) -> Tensor:
    """Mean of the ``k`` nearest valid steps' features at each step, ``(N, C, T)``.

    Args:
        feats: ``(N, C, T)``.
        masks: ``(N, T)`` bool, True = valid.
        k: Neighbours, as in :func:`nearest_steps`.
    """
    index, counts = nearest_steps(feats, masks, k)
    weights = counts.to(feats.dtype)[:, None]
    total = (gather_steps(feats, index) * weights).sum(dim=3)
    return total / weights.sum(dim=3).clamp(min=1)


class GCNeXtBlock(nn.Module):
    """Temporal and semantic graph convolutions with a residual (Xu et al., "G-TAD", CVPR 2020).

    With x the features, ``out = ReLU(x + temporal(x) + max_j semantic([x_j, x]))``, where j runs
    over the ``num_neighbors`` valid steps whose features are nearest. Both paths narrow, convolve
    in groups and widen, as ResNeXt does. The first semantic convolution is linear, so its two
    halves are applied to all steps before the neighbours are picked, k times cheaper than after.

    Args:
        channels: Channels in and out.
        num_neighbors: k.
        groups: Groups of the middle convolutions.
        width_per_group: Channels per group.
    """

    def __init__(
        self, channels: int, num_neighbors: int = 3, groups: int = 32, width_per_group: int = 4
    ) -> None:
        super().__init__()
        self.channels = channels
        self.num_neighbors = num_neighbors
        width = groups * width_per_group
        self.temporal_in = nn.Conv1d(channels, width, 1)
        self.temporal_mid = nn.Conv1d(width, width, 3, padding=1, groups=groups)
        self.temporal_out = nn.Conv1d(width, channels, 1)
        self.semantic_in = nn.Conv1d(2 * channels, width, 1)
        self.semantic_mid = nn.Conv1d(width, width, 1, groups=groups)
        self.semantic_out = nn.Conv1d(width, channels, 1)

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, C, T)``, zero at masked steps."""
        valid = masks[:, None].to(feats.dtype)
        temporal = F.relu(self.temporal_in(feats)) * valid
        temporal = self.temporal_out(F.relu(self.temporal_mid(temporal)))
        return F.relu(temporal + feats + self._semantic(feats, masks)) * valid

    def _semantic(self, feats: Tensor, masks: Tensor) -> Tensor:
        index, _ = nearest_steps(feats, masks, self.num_neighbors)
        of_neighbor, of_self = self.semantic_in.weight.split(self.channels, dim=1)
        own = F.conv1d(feats, of_self, self.semantic_in.bias)
        near = gather_steps(F.conv1d(feats, of_neighbor), index)
        edges = F.relu(near + own[..., None]).flatten(2)
        edges = self.semantic_out(F.relu(self.semantic_mid(edges)))
        return edges.unflatten(2, index.shape[1:]).amax(dim=3)
