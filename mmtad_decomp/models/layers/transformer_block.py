"""Pre-norm transformer block over time, with optional downsampling."""

from __future__ import annotations

from torch import Tensor, nn

from .conv_attention import ConvAttention
from .drop_path import ScaledDropPath
from .masked_conv import downsample_mask
from .masked_layer_norm import MaskedLayerNorm


class TransformerBlock(nn.Module):
    """Attention and feed-forward network, each on a scaled, droppable residual branch.

    With a stride the attention downsamples, and the skip connection follows by max pooling.

    Args:
        channels: Channels of input and output.
        num_heads: Attention heads.
        window_size: Odd width of the attention's window; None attends to all.
        stride: 1, or an even downsampling factor.
        expansion: Width of the feed-forward network's hidden layer, in ``channels``.
        dropout: Dropout after the attention's and the network's projections.
        drop_path: Probability to drop a residual branch of a sample.
        layer_scale: First value of the branches' scale per channel; None leaves it out.
        mask_norm: Whether padded steps stay zero between the norm and the attention's
            convolutions. ActionFormer's become the norm's bias, which the convolutions mix into
            the last valid step, so that it depends on whether there is padding.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        window_size: int | None = None,
        stride: int = 1,
        expansion: int = 4,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        layer_scale: float | None = 1e-4,
        mask_norm: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.mask_norm = mask_norm
        self.norm1 = MaskedLayerNorm(channels)
        self.attn = ConvAttention(channels, num_heads, window_size, stride, dropout)
        self.skip = nn.Identity()
        if stride > 1:
            self.skip = nn.MaxPool1d(stride + 1, stride=stride, padding=(stride + 1) // 2)
        self.norm2 = MaskedLayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, expansion * channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * channels, channels),
            nn.Dropout(dropout),
        )
        self.drop_path1 = ScaledDropPath(channels, drop_path, layer_scale)
        self.drop_path2 = ScaledDropPath(channels, drop_path, layer_scale)
        for layer in (self.mlp[0], self.mlp[3]):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Transform.

        Args:
            x: ``(N, C, T)``, T a multiple of the stride.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            ``(N, C, T / stride)``, zero at masked steps, and its mask ``(N, T / stride)``.
        """
        branch = self.attn(self.norm1(x, mask if self.mask_norm else None), mask)
        mask = downsample_mask(mask, self.stride)
        valid = mask[:, None].to(branch.dtype)
        x = self.skip(x) * valid + self.drop_path1(branch)
        branch = self.mlp(self.norm2(x).transpose(1, 2)).transpose(1, 2)
        return x + self.drop_path2(branch * valid), mask
