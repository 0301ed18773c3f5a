"""The temporal shift of TSM in one pass over the feature maps."""

from __future__ import annotations

import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

_REFERENCE = TemporalShift.shift


class _Shift(torch.autograd.Function):
    """Shift the first ``fold`` channels by ``-direction`` frames, the next by ``direction``."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, steps: int, fold: int, direction: int) -> Tensor:
        ctx.arguments = steps, fold, direction
        out = x.clone()
        # (N*T, C, H, W) to (N, T, C, H, W), in any memory order
        source, target = (maps.unflatten(0, (-1, steps)) for maps in (x, out))
        for channels, by in ((slice(fold), -direction), (slice(fold, 2 * fold), direction)):
            early, late = slice(None, -1), slice(1, None)
            to, of, blank = (late, early, 0) if by > 0 else (early, late, -1)
            target[:, to, channels] = source[:, of, channels]
            target[:, blank, channels] = 0
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps, fold, direction = ctx.arguments
        return _Shift.apply(grad, steps, fold, -direction), None, None, None


def temporal_shift(x: Tensor, num_segments: int, shift_div: int = 3) -> Tensor:
    """Move a part of the channels by one frame to the past, as large a part to the future.

    The same values as MMAction2's ``TemporalShift.shift``, which slices, concatenates and leaves
    the channels-last order: there, gradients of the slices and changes of the order take more time
    than the shift.

    Args:
        x: ``(N * T, C, H, W)`` maps.
        num_segments: T, frames of a window.
        shift_div: A share of ``1 / shift_div`` of the channels moves in each direction.

    Returns:
        ``(N * T, C, H, W)`` maps in the memory order of ``x``.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _REFERENCE(x, num_segments, shift_div)
    return _Shift.apply(x, num_segments, x.shape[1] // shift_div, 1)


def temporal_shifts(backbone: nn.Module) -> list[TemporalShift]:
    """The shifts of a backbone, which run in one pass from now on."""
    shifts = [module for module in backbone.modules() if isinstance(module, TemporalShift)]
    for module in shifts:
        module.shift = temporal_shift
    return shifts
