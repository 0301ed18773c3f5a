"""Checks of the operators' arguments, so that the operators start with their formula."""

from __future__ import annotations

import torch
from torch import Tensor


def check_same_shape(ndim: int, **tensors: Tensor) -> None:
    """Require tensors of one shape with ``ndim`` dimensions.

    Raises:
        ValueError: If the number of dimensions or a shape differs; names the arguments.
    """
    # Compared and not hashed: sizes may be symbols, of torch.compile and torch.export.
    first, *others = tensors.values()
    if first.ndim != ndim or any(x.ndim != ndim or x.shape != first.shape for x in others):
        listed = ', '.join(f'{name} {tuple(x.shape)}' for name, x in tensors.items())
        raise ValueError(f'expected {ndim}-dimensional tensors of one shape, got {listed}')


def check_mask(mask: Tensor | None, batch: int, steps: int) -> None:
    """Require a bool mask of shape ``(batch, steps)``, or None.

    Raises:
        TypeError: If the mask is not bool.
        ValueError: If its shape differs.
    """
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f'mask must be bool (True = valid step), got {mask.dtype}')
    if mask.ndim != 2 or mask.shape[0] != batch or mask.shape[1] != steps:
        raise ValueError(f'mask must have shape {(batch, steps)}, got {tuple(mask.shape)}')


def check_window(window: int | None) -> None:
    """Require an odd positive window, or None for the whole sequence.

    Raises:
        ValueError: If the window is even or not positive.
    """
    if window is not None and (window < 1 or window % 2 == 0):
        raise ValueError(
            f'window must be an odd positive number of steps, or None for the whole sequence, '
            f'got {window}'
        )
