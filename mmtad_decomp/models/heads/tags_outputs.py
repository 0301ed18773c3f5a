"""What heads with one mask for every snippet give."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmtad_decomp.structures import Scores, Signal

# Logit of what cannot be: of padded snippets' classes and of padded steps in masks.
IMPOSSIBLE = -1e4


class MaskOutputs(NamedTuple):
    """Raw outputs of every snippet t, a snippet being a feature step.

    Padded snippets have no class and no mask, and padded steps lie in no mask: their logits are
    :data:`IMPOSSIBLE`.

    Attributes:
        cls_logits: ``(N, K, T)`` log-odds of the classes; a background class comes last as a
            K + 1st one.
        mask_logits: ``(N, T, T)`` of snippet t (second axis) and step s (last axis): is s a step
            of the instance that t belongs to?
        embeddings: ``(N, C, T)`` what both were predicted from, zero at padded snippets.
        masks: ``(N, T)`` bool, True = valid.
    """

    cls_logits: Tensor
    mask_logits: Tensor
    embeddings: Tensor
    masks: Tensor

    def signals(self) -> list[Signal]:
        """What tells whether a head still learns."""
        pairs = self.masks[:, :, None] & self.masks[:, None, :]
        return [
            Scores('class score', [self.cls_logits.sigmoid()], [self.masks]),
            Scores('mask score', [self.mask_logits.sigmoid().flatten(1)], [pairs.flatten(1)]),
        ]
