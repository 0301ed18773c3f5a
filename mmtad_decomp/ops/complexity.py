"""How many FLOPs operators take, for MMEngine's analyzer, which counts a multiply-add as one."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from mmengine.analysis.jit_handles import conv_flop_jit, get_shape
from torch.utils._pytree import tree_leaves


def window_pairs(steps: int, window: int | None) -> int:
    """Pairs of steps that see each other: ``T w - r (r + 1)`` with ``r = w // 2`` (at most T - 1).

    Args:
        steps: T.
        window: Odd width w of the window; None: every step sees every other.
    """
    radius = steps - 1 if window is None else min(window // 2, steps - 1)
    return steps * (2 * radius + 1) - radius * (radius + 1)


def local_attention_flops(shape: tuple[int, ...], window: int | None) -> int:
    """``2 N H D`` for each pair: the product of query and key, and the weighted sum of values.

    The softmax is not counted, like all element-wise functions.

    Args:
        shape: ``(N, H, T, D)`` of the query.
        window: Width of the window, or None.
    """
    batch, heads, steps, dims = shape
    return 2 * batch * heads * dims * window_pairs(steps, window)


def local_attentive_fusion_flops(shape: tuple[int, ...]) -> int:
    """``3 N C T``: a running sum of queries, query times key, and value times gate (plus value).

    Args:
        shape: ``(N, C, T)`` of the value.
    """
    return 3 * prod(shape)


def _local_attention(inputs: list[Any], outputs: list[Any]) -> int:
    return local_attention_flops(get_shape(inputs[0]), inputs[4].toIValue())


def _local_attentive_fusion(inputs: list[Any], outputs: list[Any]) -> int:
    return local_attentive_fusion_flops(get_shape(inputs[0]))


def _scaled_dot_product_attention(inputs: list[Any], outputs: list[Any]) -> int:
    *batch, queries, dims = get_shape(inputs[0])
    keys, out_dims = get_shape(inputs[2])[-2:]
    return int(prod(batch) * queries * keys * (dims + out_dims))


def _convolution(inputs: list[Any], outputs: list[Any]) -> Any:
    """A constant kernel is a sparse matrix (G-TAD's alignment): its zeros cost nothing."""
    kernel = inputs[1].toIValue()
    if not isinstance(kernel, torch.Tensor):
        return conv_flop_jit(inputs, outputs)
    batch, _, *positions = get_shape(outputs[0])
    return batch * prod(positions) * int(kernel.count_nonzero())


class TensorsOnly(torch.nn.Module):
    """A model whose outputs are the tensors among its own outputs: a tracer takes no others.

    Args:
        model: The model; its modules are named ``model.*``.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Run the model."""
        leaves = tree_leaves(self.model(*inputs))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


FLOP_HANDLES = {
    'mmtad_decomp::local_attention': _local_attention,
    'mmtad_decomp::local_attentive_fusion': _local_attentive_fusion,
    'aten::scaled_dot_product_attention': _scaled_dot_product_attention,
    'aten::_convolution': _convolution,
}
"""Handles by operator, for ``FlopAnalyzer.set_op_handle``."""
