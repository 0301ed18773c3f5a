"""How a loss of single elements becomes one number."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def check_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is one of ``'none'``, ``'mean'`` and ``'sum'``.

    Raises:
        ValueError: If it is not.
    """
    if reduction not in ('none', 'mean', 'sum'):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


@torch.no_grad()
def over_processes(count: Tensor | float) -> Tensor | float:
    """The sum of a number over the processes of a distributed training.

    Every process must call it as often as the others.
    """
    if get_world_size() == 1:
        return count
    total = torch.as_tensor(count).clone()
    total = at_least_float32(total) if total.is_floating_point() else total.float()
    all_reduce(total)
    return total


def batch_divisor(
    count: Tensor | float, minimum: float = 1.0, extra: float = 0.0
) -> Tensor | float:
    """What a sum over this process's part of a batch is divided by.

    Distributed training averages gradients over W processes. So that they are those of one process
    on the whole batch, the parts are divided by ``max(total + extra, minimum) / W``, where
    ``total`` is the count of all parts. Every process must call it as often as the others.

    Args:
        count: Elements, or sum of weights, of this process's part; no gradient flows into it.
        minimum: Least divisor of the whole batch.
        extra: Added to the count of the whole batch.
    """
    if isinstance(count, Tensor):
        count = count.detach()
    total = over_processes(count) + extra
    total = total.clamp(min=minimum) if isinstance(total, Tensor) else max(total, minimum)
    return total / get_world_size()


def reduce_loss(
    loss: Tensor,
    reduction: str,
    weight: Tensor | None = None,
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """Weight and reduce the losses of single elements.

    Args:
        loss: Loss per element, any shape.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        weight: Weight per element, broadcastable to ``loss``.
        avg_factor: Divisor of the sum in place of the number of elements; only with
            ``'mean'``. See :func:`batch_divisor` for distributed training.

    Returns:
        A scalar, or a tensor like ``loss`` for ``'none'``. A loss without elements gives 0 that
        still has a gradient path.

    Raises:
        ValueError: If ``avg_factor`` is given with another reduction than ``'mean'``.
    """
    if avg_factor is not None and reduction != 'mean':
        raise ValueError(f"avg_factor needs reduction='mean', got {reduction!r}")
    if weight is not None:
        loss = loss * weight
    if reduction == 'none':
        return loss
    total = loss.sum()
    if reduction == 'sum':
        return total
    return total / (batch_divisor(loss.numel()) if avg_factor is None else avg_factor)


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 if it has half precision, unchanged otherwise."""
    return x if x.element_size() >= 4 else x.float()
