"""Sliding-window multi-head attention over time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .checks import check_mask, check_same_shape, check_window
from .extension import is_compiled_for, to_common_dtype, warn_of_plain_pytorch
from .graphs import is_exported, records_a_graph

# Up to this many steps one dense T x T attention with a band mask is no slower than blocks
# (measured forward and backward on one CPU core, 4 heads of 128 channels, window 19).
_MAX_DENSE_STEPS = 256
_MIN_BLOCK = 32

# Up to this width, windows longer than the sequence too go to the compiled operator, which
# computes up to twice the products of dense attention, but needs no mask over all pairs.
_MAX_COMPILED_DENSE_STEPS = 63

_MAX_CUDA_DIMS = 256


def _masked_attention(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """Attention with a mask over pairs of steps."""
    if is_exported() and query.is_cuda:
        # The fused kernels of a GPU pad masks to multiples of 8, which fixes the graph's length.
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)


def _dense_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, radius: int | None
) -> Tensor:
    """Attention with a ``T x T`` mask; a masked query attends to itself, which avoids NaN."""
    steps = query.shape[2]
    if radius is not None and not records_a_graph() and radius >= steps - 1:
        radius = None
    if mask is None and radius is None:
        return F.scaled_dot_product_attention(query, key, value)
    index = torch.arange(steps, device=query.device)
    distance = (index[:, None] - index[None, :]).abs()
    allowed = distance <= (steps if radius is None else radius)
    if mask is not None:
        allowed = (allowed & mask[:, None, None, :]) | (distance == 0)
    return _masked_attention(query, key, value, allowed)


def _blocked_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, radius: int
) -> Tensor:
    """The same in blocks of queries, each against its own keys and ``radius`` on both sides."""
    batch, heads, steps, dims = query.shape
    block = max(_MIN_BLOCK, 2 * radius)
    num_blocks = -(-steps // block)
    tail, span = num_blocks * block - steps, block + 2 * radius

    def keys_of_blocks(x: Tensor) -> Tensor:
        spans = F.pad(x, (0, 0, radius, radius + tail)).unfold(2, span, block)
        return spans.transpose(3, 4).reshape(batch * heads, num_blocks, span, dims)

    if mask is None:
        mask = torch.ones((1, steps), dtype=torch.bool, device=query.device)
    valid = F.pad(mask, (radius, radius + tail)).unfold(1, span, block)
    shift = torch.arange(span, device=query.device)[None, :]
    shift = shift - torch.arange(block, device=query.device)[:, None]
    band = (shift >= 0) & (shift <= 2 * radius)
    allowed = (valid[:, :, None] & band) | (shift == radius)
    if len(allowed) > 1:
        allowed = allowed.repeat_interleave(heads, dim=0)

    query = F.pad(query, (0, 0, 0, tail)).reshape(batch * heads, num_blocks, block, dims)
    out = F.scaled_dot_product_attention(
        query, keys_of_blocks(key), keys_of_blocks(value), attn_mask=allowed
    )
    return out.reshape(batch, heads, num_blocks * block, dims)[:, :, :steps]


def _plain_local_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, window: int | None
) -> Tensor:
    invalid = None
    if mask is not None:
        invalid = ~mask[:, None, :, None]
        query, key, value = (x.masked_fill(invalid, 0) for x in (query, key, value))
    if window is None:
        out = _dense_attention(query, key, value, mask, None)
    elif is_exported() or query.shape[2] <= max(_MAX_DENSE_STEPS, 4 * window):
        out = _dense_attention(query, key, value, mask, window // 2)
    else:
        out = _blocked_attention(query, key, value, mask, window // 2)
    return out if invalid is None else out.masked_fill(invalid, 0)


def local_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    r"""Multi-head attention in which a step sees its neighbours in a window only.

    With :math:`S_i = \{j : |i - j| \le \lfloor w / 2 \rfloor, m_j\}`,

    .. math:: o_i = \sum_{j \in S_i} \mathrm{softmax}_{j \in S_i}
              \left(q_i \cdot k_j / \sqrt{D}\right) v_j

    and :math:`o_i = 0` where step i is masked. The values of masked steps never matter, NaN
    included. Memory grows with ``N * H * T * (D + window)``: of the weights, only the logarithm of
    a window's sum is kept for the gradient.

    Args:
        query: ``(N, H, T, D)``.
        key: ``(N, H, T, D)``.
        value: ``(N, H, T, D)``.
        mask: ``(N, T)`` bool, True = valid. None: all are valid.
        window: Odd width of the window in steps. None: every step sees every other.

    Returns:
        ``(N, H, T, D)`` in the dtype that the inputs promote to.

    Raises:
        TypeError: If the mask is not bool.
        ValueError: If shapes do not fit or the window is even.
    """
    check_same_shape(4, query=query, key=key, value=value)
    batch, _, steps, _ = query.shape
    check_mask(mask, batch, steps)
    check_window(window)
    query, key, value = to_common_dtype(query, key, value)
    if _is_sparse(steps, window) and is_compiled_for(query) and _fits_kernels(query):
        return torch.ops.mmtad_decomp.local_attention.default(query, key, value, mask, window)[0]
    return _plain_local_attention(query, key, value, mask, window)


def _is_sparse(steps: int, window: int | None) -> bool:
    """Whether a band of the window's width is less work than all pairs of steps."""
    if window is None:
        return False
    if records_a_graph():
        return True
    return 0 < min(window, 2 * steps - 1) <= max(steps, _MAX_COMPILED_DENSE_STEPS)


def _fits_kernels(query: Tensor) -> bool:
    """Whether a head has no more channels than the kernels take."""
    if not query.is_cuda or query.shape[3] <= _MAX_CUDA_DIMS:
        return True
    warn_of_plain_pytorch(f'take heads of at most {_MAX_CUDA_DIMS} channels on a GPU')
    return False
