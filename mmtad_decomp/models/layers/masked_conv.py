"""Convolution over time whose output is zero at masked steps."""

from __future__ import annotations

from torch import Tensor, nn


def downsample_mask(mask: Tensor, stride: int) -> Tensor:
    """Mask of every ``stride``-th step: ``(N, T)`` to ``(N, ceil(T / stride))``."""
    return mask if stride == 1 else mask[:, ::stride]


class MaskedConv1d(nn.Module):
    """``nn.Conv1d`` with 'same' padding that zeroes the masked steps of its output.

    Output step i of a strided convolution is centred on input step ``i * stride`` and takes that
    step's mask. The bias starts at 0.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd kernel size.
        stride: Steps between outputs.
        groups: Groups of channels.
        bias: Whether the convolution has a bias.

    Raises:
        ValueError: If the kernel size is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, got {kernel_size}')
        self.stride = stride
        self.conv = nn.Conv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=bias,
        )
        if bias:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: ``(N, C, T)``.
            mask: ``(N, T)`` bool, True = valid.

        Returns:
            ``(N, out_channels, ceil(T / stride))``, zero where ``mask[:, ::stride]`` is False.
        """
        out = self.conv(x)
        return out * downsample_mask(mask, self.stride)[:, None].to(out.dtype)
