"""Other ways to compute sliding-window attention, as functions of query, key and value."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def eager(window: int) -> Attention:
    """Logits of all pairs, masked to the band, softmax and product, in plain PyTorch."""

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        band = _band(query.shape[2], window, query.device)
        return logits.masked_fill(~band, -math.inf).softmax(-1) @ value

    return attend


def compiled(window: int) -> Attention:
    """``torch.compile`` of :func:`eager`."""
    return torch.compile(eager(window))


def sdpa(window: int) -> Attention:
    """``scaled_dot_product_attention`` with a band mask, which is made outside of the timing."""
    bands: dict[int, Tensor] = {}

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        steps = query.shape[2]
        if steps not in bands:
            bands[steps] = _band(steps, window, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bands[steps])

    return attend


def unfold(window: int) -> Attention:
    """Every step's window of keys and values gathered by ``F.unfold``."""

    def windows(x: Tensor) -> Tensor:
        batch, heads, steps, dims = x.shape
        columns = x.transpose(2, 3).reshape(batch, heads * dims, 1, steps)
        columns = F.unfold(columns, (1, window), padding=(0, window // 2))
        return columns.reshape(batch, heads, dims, window, steps)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        steps = query.shape[2]
        offsets = torch.arange(window, device=query.device)[:, None] - window // 2
        place = torch.arange(steps, device=query.device) + offsets
        logits = torch.einsum('nhtd,nhdwt->nhwt', query, windows(key)) / math.sqrt(query.shape[3])
        logits = logits.masked_fill((place < 0) | (place >= steps), -math.inf)
        return torch.einsum('nhwt,nhdwt->nhtd', logits.softmax(2), windows(value))

    return attend


def flex(window: int) -> Attention:
    """Compiled ``flex_attention`` with a block mask, which is made outside of the timing."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    run = torch.compile(flex_attention)
    masks: dict[int, object] = {}

    def in_band(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query - key).abs() <= window // 2

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        steps = query.shape[2]
        if steps not in masks:
            masks[steps] = create_block_mask(in_band, None, None, steps, steps, query.device)
        return run(query, key, value, block_mask=masks[steps])

    return attend


def chunks(window: int) -> Attention:
    """The overlapping chunks of the ``actionformer`` package: its attention without the masks.

    Steps are padded to a multiple of two half-windows, as its models pad their inputs.
    """
    from actionformer.modeling.blocks import LocalMaskedMHCA

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, heads, steps, dims = query.shape
        core = LocalMaskedMHCA(heads * 2, heads, window_size=window)
        half = window // 2
        tail = -steps % (2 * half)
        query, key, value = (
            F.pad(x, (0, 0, 0, tail)).reshape(batch * heads, steps + tail, dims)
            for x in (query, key, value)
        )
        query = query / math.sqrt(dims)
        logits = core._sliding_chunks_query_key_matmul(query, key, heads, half)
        out = core._sliding_chunks_matmul_attn_probs_value(logits.softmax(-1), value, heads, half)
        return out[:, :, :steps]

    return attend


def natten(window: int) -> Attention:
    """NATTEN's windows, which it shifts inwards at the borders instead of cutting them.

    On a GPU by ``na1d``; on a CPU by the separate operators of versions up to 0.17.5.
    """
    from natten import functional, na1d

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.is_cuda:
            turned = (x.transpose(1, 2) for x in (query, key, value))
            return na1d(*turned, window).transpose(1, 2)
        if query.dtype not in (torch.float32, torch.float64):
            raise RuntimeError('no CPU kernels of this type; NATTEN would end the process')
        query = query * query.shape[-1] ** -0.5
        weights = functional.na1d_qk(query, key, window, 1).softmax(-1)  # (N, H, T, window)
        return functional.na1d_av(weights, value, window, 1)

    return attend


def _band(steps: int, window: int, device: torch.device) -> Tensor:
    index = torch.arange(steps, device=device)
    return (index[:, None] - index[None, :]).abs() <= window // 2


PEERS: dict[str, Callable[[int], Attention]] = {
    'eager': eager,
    'torch.compile': compiled,
    'SDPA, band mask': sdpa,
    'F.unfold': unfold,
    'flex_attention': flex,
    'ActionFormer chunks': chunks,
    'NATTEN': natten,
}
"""Builders by name; one raises ImportError or RuntimeError where it can't run."""
