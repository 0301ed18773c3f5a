"""What AFSD's head gives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmtad_decomp.structures import Scores, Signal

from .base_head import PointOutputs


class BoundaryFeatures(NamedTuple):
    """A sequence of features of which one half of the channels is for starts, one for ends.

    Attributes:
        feats: ``(N, C, T)``.
        masks: ``(N, T)`` bool, True = valid.
        stride: Feature steps from one step of the sequence to the next.
        offset: Where its first step lies, in feature steps.
    """

    feats: Tensor
    masks: Tensor
    stride: float
    offset: float

    @property
    def positions(self) -> Tensor:
        """``(T,)`` where the steps lie, in feature steps."""
        steps = torch.arange(self.feats.shape[2], device=self.feats.device)
        return steps * float(self.stride) + self.offset

    def to_own_steps(self, segments: Tensor) -> Tensor:
        """Positions in feature steps to positions in steps of the sequence."""
        return (segments - self.offset) / self.stride

    def activations(self) -> Tensor:
        """``(N, 2, T)``: how much it responds, the mean of ``tanh`` over starts' and over ends'
        channels."""
        feats = self.feats.to(torch.promote_types(self.feats.dtype, torch.float32))
        return feats.tanh().unflatten(1, (2, -1)).mean(dim=2)


class AFSDOutputs(NamedTuple):
    """Raw outputs of :class:`AFSDHead`.

    Attributes:
        coarse: Predictions from the features of a point alone.
        refined: Predictions from the features around the boundaries of the coarse segment too.
            Their offsets may be negative; no gradient flows from them into the coarse ones.
        quality: ``(N, T_l)`` logits of the refined segment's tIoU, per level.
        boundaries: The features with the finest steps, and those of the box and of the class
            branch at the first level.
    """

    coarse: PointOutputs
    refined: PointOutputs
    quality: tuple[Tensor, ...]
    boundaries: tuple[BoundaryFeatures, ...]

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """``(N, T_l)`` bool per level, True = valid."""
        return self.coarse.masks

    def signals(self) -> list[Signal]:
        """What tells whether a head still learns; refined offsets follow from the coarse ones."""
        refined = [x.sigmoid() for x in self.refined.cls_logits]
        quality = [x.sigmoid() for x in self.quality]
        return [
            *self.coarse.signals(),
            Scores('refined class score', refined, self.masks),
            Scores('quality', quality, self.masks),
        ]
