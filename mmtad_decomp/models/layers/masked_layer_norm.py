"""Layer normalisation of the channels of a sequence."""

from __future__ import annotations

from torch import Tensor, nn


class MaskedLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of each step of ``(N, C, T)``.

    Each step is normalised by itself, so what a padded step holds never reaches a valid one.
    Without a mask a padded step (zeros) becomes the bias, as in ActionFormer; with one it stays
    zero. Optimizers and initialisers that know ``nn.LayerNorm`` know this one too.

    Args:
        num_channels: C.
        eps: Added to the variance.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__(num_channels, eps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            x: ``(N, C, T)``.
            mask: ``(N, T)`` bool, True = valid; None leaves the masked steps as they come.

        Returns:
            ``(N, C, T)``.
        """
        out = super().forward(x.transpose(1, 2)).transpose(1, 2)
        return out if mask is None else out * mask[:, None].to(out.dtype)
