"""Layer normalisation of the channels of a sequence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedLayerNorm(nn.Module):
    """Layer norm over the channels of each step of ``(N, C, T)``.

    Each step is normalised by itself, so what a padded step holds never reaches a valid one.
    Without a mask a padded step (zeros) becomes the bias, as in ActionFormer; with one it stays
    zero.

    Args:
        num_channels: C.
        eps: Added to the variance.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: ``(N, C, T)``.
            mask: ``(N, T)`` bool, True = valid; None leaves the masked steps as they come.

        Returns:
            ``(N, C, T)``.
        """
        out = F.layer_norm(x.transpose(1, 2), self.weight.shape, self.weight, self.bias, self.eps)
        out = out.transpose(1, 2)
        return out if mask is None else out * mask[:, None].to(out.dtype)
