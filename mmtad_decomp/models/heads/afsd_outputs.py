"""What AFSD's head gives."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .base_head import PointOutputs


class BoundaryActivations(NamedTuple):
    """How much the boundary features of a sequence respond at each step.

    Attributes:
        values: ``(N, 2, T)`` within [0, 1), of the channels for starts and of those for ends.
        positions: ``(T,)`` where the steps lie, in feature steps.
        masks: ``(N, T)`` bool, True = valid.
    """

    values: Tensor
    positions: Tensor
    masks: Tensor


class AFSDOutputs(NamedTuple):
    """Raw outputs of :class:`AFSDHead`.

    Attributes:
        coarse: Predictions from the features of a point alone.
        refined: Predictions from the features around the boundaries of the coarse segment too.
            Their offsets may be negative; no gradient flows from them into the coarse ones.
        quality: ``(N, T_l)`` logits of the refined segment's tIoU, per level.
        activations: Of the features with the finest steps, and of the box and the class branch at
            the first level.
    """

    coarse: PointOutputs
    refined: PointOutputs
    quality: tuple[Tensor, ...]
    activations: tuple[BoundaryActivations, ...]

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """``(N, T_l)`` bool per level, True = valid."""
        return self.coarse.masks
