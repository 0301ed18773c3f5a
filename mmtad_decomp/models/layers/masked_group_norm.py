"""Group normalisation of a sequence that does not see its padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm of ``(N, C, T)`` with the statistics of the valid steps alone.

    Without padding it is ``nn.GroupNorm``, whose parameters it has.

    Args:
        num_groups: Groups of channels.
        num_channels: C.
        eps: Added to the variance.

    Raises:
        ValueError: If the groups do not divide the channels.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__(num_groups, num_channels, eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: ``(N, C, T)``; half precision is computed in float32.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            ``(N, C, T)`` in the dtype of ``x``, zero at masked steps.
        """
        dtype = x.dtype
        precise = x.to(torch.promote_types(dtype, torch.float32))
        groups = precise.unflatten(1, (self.num_groups, -1))
        valid = mask[:, None, None].to(groups.dtype)
        count = (valid.sum((2, 3), keepdim=True) * groups.shape[2]).clamp(min=1)
        mean = (groups * valid).sum((2, 3), keepdim=True) / count
        centred = (groups - mean) * valid
        variance = centred.square().sum((2, 3), keepdim=True) / count
        normed = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        out = (normed * self.weight[:, None] + self.bias[:, None]) * mask[:, None].to(normed)
        return out.to(dtype)
