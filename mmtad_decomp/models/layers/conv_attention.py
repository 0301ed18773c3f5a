"""Self-attention over time with depth-wise convolutions before its projections."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmtad_decomp.ops.local_attention import local_attention

from .attention_heads import check_heads
from .masked_conv import MaskedConv1d, downsample_mask
from .masked_layer_norm import MaskedLayerNorm


class ConvAttention(nn.Module):
    """Multi-head self-attention, local or global, that can halve the sequence (ActionFormer).

    Queries, keys and values each come from a depth-wise convolution (which tells positions apart
    and, with a stride, downsamples), a layer norm and a linear layer.

    Args:
        channels: Channels of input and output.
        num_heads: Attention heads.
        window_size: Odd width of the window in output steps; None attends to all.
        stride: 1, or an even downsampling factor.
        dropout: Dropout after the output projection.

    Raises:
        ValueError: If the heads do not divide the channels, or the stride is odd and not 1.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        window_size: int | None = None,
        stride: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_heads(channels, num_heads)
        if stride != 1 and stride % 2:
            raise ValueError(f'stride must be 1 or even, got {stride}')
        self.num_heads = num_heads
        self.window_size = window_size
        self.stride = stride
        kernel_size = 3 if stride == 1 else stride + 1
        for name in ('query', 'key', 'value'):
            conv = MaskedConv1d(
                channels, channels, kernel_size, stride=stride, groups=channels, bias=False
            )
            self.add_module(f'{name}_conv', conv)
            self.add_module(f'{name}_norm', MaskedLayerNorm(channels))
            self.add_module(name, nn.Linear(channels, channels))
        self.proj = nn.Linear(channels, channels)
        self.dropout = dropout
        for layer in (self.query, self.key, self.value, self.proj):
            nn.init.zeros_(layer.bias)

    def _project(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """``(N, C, T)`` to the heads' queries, keys or values ``(N, H, T', C / H)``."""
        x = getattr(self, f'{name}_norm')(getattr(self, f'{name}_conv')(x, mask))
        x = getattr(self, name)(x.transpose(1, 2))
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            x: ``(N, C, T)``.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            ``(N, C, ceil(T / stride))``, zero at masked steps.
        """
        x = x.contiguous()  # once for three convolutions
        query, key, value = (self._project(name, x, mask) for name in ('query', 'key', 'value'))
        mask = downsample_mask(mask, self.stride)
        out = local_attention(query, key, value, mask, self.window_size)
        out = self.proj(out.transpose(1, 2).flatten(2))
        out = F.dropout(out, self.dropout, self.training) * mask[:, :, None].to(out.dtype)
        return out.transpose(1, 2)
