"""Bounded functions that keep a gradient where they are flat."""

from __future__ import annotations

import torch
from torch import Tensor

# Sigmoid's derivative here is 1e-5; in float32 it is exactly 0 from 17 on.
_LARGEST_LOGIT = 11.5


def straight_through_clamp(
    x: Tensor, min: float | None = None, max: float | None = None
) -> Tensor:
    """``x.clamp(min, max)`` with the gradient of ``x``, also outside of the bounds.

    Put before a function that saturates, it keeps that function's gradient at least as large as at
    the bound (a straight-through estimator, Bengio et al., 2013), so that an output which was
    pushed too far can come back.

    Args:
        x: Any shape, finite.
        min: Lower bound; None for none.
        max: Upper bound; None for none.
    """
    return x.clamp(min, max).detach() + (x - x.detach())


def recoverable_sigmoid(logits: Tensor) -> Tensor:
    """Sigmoid in float32 at least, within 1e-5 of 0 and 1, whose gradient never vanishes.

    For scores that enter a squared or absolute error. (Cross entropies of logits need no help: the
    logarithm undoes the sigmoid.)
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return straight_through_clamp(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT).sigmoid()
