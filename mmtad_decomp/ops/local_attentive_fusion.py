"""Local attentive fusion: gate a feature sequence by another one, step by step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_mask, check_same_shape, check_window
from .extension import is_compiled_for, to_common_dtype


def _window_sum(x: Tensor, radius: int) -> Tensor:
    """Sums of the last dimension over ``2 * radius + 1`` steps around each step.

    They are made of sums over powers of two steps, each of two halves. No running sum loses
    digits, or carries a NaN beyond its windows.
    """
    width, steps = 2 * radius + 1, x.shape[-1]
    block = F.pad(x, (radius, radius))  # block[..., i]: the sum over `size` steps from i on
    total, done, size = block[..., :steps], 1, 1  # the width is odd
    while 2 * size <= width:
        block = block[..., :-size] + block[..., size:]
        size *= 2
        if width & size:
            total = total + block[..., done : done + steps]
            done += size
    return total


def masked_window_mean(x: Tensor, mask: Tensor | None, window: int | None) -> Tensor:
    """Mean over the valid steps within a window around each step.

    Args:
        x: ``(N, C, T)``.
        mask: ``(N, T)`` bool, True = valid. None: all are valid.
        window: Odd width in steps. None: the mean over the whole valid sequence.

    Returns:
        ``(N, C, T)``, or ``(N, C, 1)`` where ``window`` is None, in float32 (float64 for float64
        input); 0 where the window has no valid step.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    steps = x.shape[-1]
    if mask is None:
        valid = torch.ones((1, 1, steps), dtype=torch.bool, device=x.device)
    else:
        valid = mask[:, None, :]
        x = x.masked_fill(~valid, 0)
    if window is None:
        total = x.sum(-1, keepdim=True, dtype=dtype)
        return total / valid.sum(-1, keepdim=True).clamp(min=1)
    count = _window_sum(valid.to(dtype), window // 2).clamp(min=1)
    return _window_sum(x.to(dtype), window // 2) / count


def _plain_local_attentive_fusion(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    window: int | None,
    residual: bool,
) -> Tensor:
    if mask is not None:
        invalid = ~mask[:, None, :]
        value, key = value.masked_fill(invalid, 0), key.masked_fill(invalid, 0)
    pooled = masked_window_mean(query, mask, window)
    gate = torch.sigmoid(pooled * key.to(pooled.dtype))
    if residual:
        gate = gate + 1
    return (value * gate).to(value.dtype)


def local_attentive_fusion(
    value: Tensor,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    window: int | None = None,
    residual: bool = True,
) -> Tensor:
    r"""Enhance ``value`` by the agreement of a pooled query with each step's own key.

    .. math:: \bar q_t = \frac{1}{|S_t|} \sum_{j \in S_t} q_j, \qquad
              \omega_t = \sigma(\bar q_t \odot k_t), \qquad
              o_t = v_t \odot \omega_t \; (+ v_t)

    where :math:`S_t` holds the valid steps with :math:`|t - j| \le \lfloor w / 2 \rfloor`. No
    value is mixed with its neighbours', so boundaries stay as sharp as they were. From Lee et
    al., "Decomposed Cross-modal Distillation for RGB-based Temporal Action Detection" (CVPR 2023).

    Means and gate are computed in float32 at least, under autocast too. The values of masked steps
    never matter, NaN included.

    Args:
        value: ``(N, C, T)`` features to enhance.
        query: ``(N, C, T)`` queries, before pooling.
        key: ``(N, C, T)`` keys.
        mask: ``(N, T)`` bool, True = valid. None: all are valid.
        window: Odd width of the pooling window in steps. None: the whole valid sequence.
        residual: Add ``value`` to the result.

    Returns:
        ``(N, C, T)`` in the dtype of ``value``; 0 at masked steps.

    Raises:
        TypeError: If the mask is not bool.
        ValueError: If shapes do not fit or the window is even.
    """
    check_same_shape(3, value=value, query=query, key=key)
    check_mask(mask, value.shape[0], value.shape[2])
    check_window(window)
    dtype = value.dtype
    value, query, key = to_common_dtype(value, query, key)
    if is_compiled_for(value):
        fused = torch.ops.mmtad_decomp.local_attentive_fusion.default(
            value, query, key, mask, window, residual
        )
        return fused.to(dtype)
    return _plain_local_attentive_fusion(value, query, key, mask, window, residual).to(dtype)
