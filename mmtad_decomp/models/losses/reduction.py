"""How a loss of single elements becomes one number."""

from __future__ import annotations

from torch import Tensor


def check_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is one of ``'none'``, ``'mean'`` and ``'sum'``.

    Raises:
        ValueError: If it is not.
    """
    if reduction not in ('none', 'mean', 'sum'):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


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
            ``'mean'``.

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
    return total / (max(loss.numel(), 1) if avg_factor is None else avg_factor)


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 if it has half precision, unchanged otherwise."""
    return x if x.element_size() >= 4 else x.float()
