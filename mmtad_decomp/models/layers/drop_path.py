"""Stochastic depth with a learnt scale per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drop_path(x: Tensor, drop_prob: float) -> Tensor:
    """Zero whole samples with probability ``drop_prob`` and scale the others up to match."""
    if drop_prob == 0:
        return x
    keep = 1 - drop_prob
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    return x * (torch.rand(shape, device=x.device) < keep).to(x.dtype) / keep


class ScaledDropPath(nn.Module):
    """Scale a residual branch per channel, and drop it for some samples while training.

    The scale starts small (Touvron et al., "Going deeper with Image Transformers", 2021), so a
    deep stack starts close to the identity.

    Args:
        num_channels: Channels of the branch.
        drop_prob: Probability to drop the branch of a sample.
        init_scale: First value of the scale; None leaves the scale out.
    """

    def __init__(
        self, num_channels: int, drop_prob: float = 0.0, init_scale: float | None = 1e-4
    ) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.scale = None
        if init_scale is not None:
            self.scale = nn.Parameter(torch.full((num_channels,), float(init_scale)))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, T)`` to ``(N, C, T)``."""
        if self.scale is not None:
            x = x * self.scale[:, None]
        return drop_path(x, self.drop_prob) if self.training else x
