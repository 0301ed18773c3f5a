"""Arithmetic on 1-D segments, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar('Array', np.ndarray, torch.Tensor)


def pairwise_tiou(a: Array, b: Array) -> Array:
    """Temporal IoU of every segment in ``a`` with every segment in ``b``.

    Args:
        a: ``(M, 2)`` starts and ends, in any unit.
        b: ``(N, 2)`` starts and ends, in the same unit.

    Returns:
        ``(M, N)`` array in [0, 1]; a pair whose union has no length has tIoU 0, never NaN.
    """
    xp = torch if isinstance(a, torch.Tensor) else np
    inter = xp.minimum(a[:, None, 1], b[None, :, 1]) - xp.maximum(a[:, None, 0], b[None, :, 0])
    inter = xp.where(inter > 0, inter, xp.zeros_like(inter))
    union = (a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None, :] - inter
    positive = union > 0
    return xp.where(positive, inter / xp.where(positive, union, xp.ones_like(union)), 0 * inter)


def valid_pairs(masks: torch.Tensor, max_duration: int) -> torch.Tensor:
    """Which pairs lie within the valid steps: start s and duration index d with ``s + d < L``.

    Args:
        masks: ``(N, T)`` bool, True at the first L steps of a sample.
        max_duration: D.

    Returns:
        ``(N, D, T)`` bool.
    """
    start = torch.arange(masks.shape[1], device=masks.device)
    duration = torch.arange(max_duration, device=masks.device)
    return start + duration[:, None] < masks.sum(dim=1)[:, None, None]


def center_width_to_start_end(segments: Array) -> Array:
    """``(..., 2)`` centres and widths to starts and ends."""
    xp = torch if isinstance(segments, torch.Tensor) else np
    center, half = segments[..., 0], segments[..., 1] / 2
    return xp.stack((center - half, center + half), -1)


def start_end_to_center_width(segments: Array) -> Array:
    """``(..., 2)`` starts and ends to centres and widths."""
    xp = torch if isinstance(segments, torch.Tensor) else np
    start, end = segments[..., 0], segments[..., 1]
    return xp.stack(((start + end) / 2, end - start), -1)


def center_width_to_offsets(segments: torch.Tensor) -> torch.Tensor:
    """``(..., 2)`` centres and widths to distances left and right of 0, as IoU losses want."""
    return center_width_to_start_end(segments) * segments.new_tensor((-1.0, 1.0))
