"""Convolution of tiny maps as a few matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.utils import _pair

from ...ops import records_a_graph


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Length of a convolution's output along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def _overlap(
    size: int, kernel: int, tap: int, stride: int, padding: int
) -> tuple[slice, slice] | None:
    """Input and output positions along one axis that a tap of the kernel connects, if any."""
    first = max(0, -((tap - padding) // stride))
    last = min(
        output_size(size, kernel, stride, padding), (size - 1 - tap + padding) // stride + 1
    )
    begin = first * stride + tap - padding
    count = last - first
    return (
        (slice(begin, begin + count * stride, stride), slice(first, last)) if count > 0 else None
    )


def _connections(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Iterator[tuple[int, tuple[slice, slice], tuple[slice, slice]]]:
    """Number, input positions and output positions of every tap that sees a pixel."""
    for number in range(kernel[0] * kernel[1]):
        taps = divmod(number, kernel[1])
        vertical, horizontal = (
            _overlap(*axis) for axis in zip(size, kernel, taps, stride, padding)
        )
        if vertical is not None and horizontal is not None:
            (rows, to_rows), (columns, to_columns) = vertical, horizontal
            yield number, (rows, columns), (to_rows, to_columns)


class _TapByTap(torch.autograd.Function):
    """``(N, H, W, C)`` pixels and ``(taps, C, C')`` weights to float32 ``(N, H', W', C')``."""

    @staticmethod
    def forward(ctx: FunctionCtx, pixels: Tensor, taps: Tensor, *geometry) -> Tensor:
        ctx.save_for_backward(pixels, taps)
        ctx.geometry = geometry
        size = pixels.shape[1:3]
        out = [output_size(*axis) for axis in zip(size, *geometry)]
        total = pixels.new_zeros(len(pixels), *out, taps.shape[2], dtype=torch.float32)
        for number, source, target in _connections(size, *geometry):
            # Flat, since `matmul` of a weight without gradient would copy it for every pixel.
            seen = pixels[:, source[0], source[1]]
            part = seen.flatten(0, 2) @ taps[number]
            total[:, target[0], target[1]] += part.view(*seen.shape[:3], -1)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        pixels, taps = ctx.saved_tensors
        grad = grad.to(taps.dtype)
        to_pixels = torch.zeros_like(pixels, dtype=torch.float32)
        to_taps = torch.zeros_like(taps, dtype=torch.float32)
        for number, source, target in _connections(pixels.shape[1:3], *ctx.geometry):
            part = grad[:, target[0], target[1]].flatten(0, 2)
            seen = pixels[:, source[0], source[1]]
            to_taps[number] = seen.flatten(0, 2).T @ part
            to_pixels[:, source[0], source[1]] += (part @ taps[number].T).view(seen.shape)
        return to_pixels.to(pixels.dtype), to_taps.to(taps.dtype), None, None, None


@MODELS.register_module()
class SmallMapConv2d(nn.Conv2d):
    """``nn.Conv2d`` that is quick on maps of a few pixels on a CPU; same weights, same results.

    The last stage of a ResNet sees maps of 2x2 when frames have 64 pixels. A library convolution
    loses most of its time there on the border. This one multiplies, for each tap of the kernel,
    the pixels that the tap can see with its ``(C, C')`` weights, and adds up in float32. On larger
    maps, on other devices and where a graph is recorded (``torch.compile``, ``torch.export``,
    ``torch.jit.trace``) it is ``nn.Conv2d``. It can be differentiated once.

    To be used in a backbone's config: ``conv_cfg=dict(type='mmaction.SmallMapConv2d')``.
    """

    MAX_SIDE = 3
    """Largest height and width of a map that goes the way of the matrix products."""

    def _is_small(self, x: Tensor) -> bool:
        plain = self.groups == 1 and self.dilation == (1, 1) and self.padding_mode == 'zeros'
        small = max(x.shape[2:]) <= self.MAX_SIDE and not isinstance(self.padding, str)
        return x.device.type == 'cpu' and plain and small and not records_a_graph()

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C', H', W')``."""
        if not self._is_small(x):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled('cpu'):
            weight = weight.to(torch.get_autocast_dtype('cpu'))
        taps = weight.permute(2, 3, 1, 0).flatten(0, 1).contiguous()
        pixels = x.permute(0, 2, 3, 1).to(weight.dtype)
        geometry = (self.kernel_size, self.stride, _pair(self.padding))
        out = _TapByTap.apply(pixels, taps, *geometry)
        if self.bias is not None:
            out = out + self.bias
        return out.to(weight.dtype).permute(0, 3, 1, 2)
