"""What heads over the map of (start, duration) pairs give."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmtad_decomp.structures import Scores, Signal

from ..layers import valid_pairs


class ScoreMapOutputs(NamedTuple):
    """Raw outputs over all pairs of a start step s and a duration index d, and over all steps.

    Pair (d, s) is the segment ``[s, s + d + 1]`` in feature steps.

    Attributes:
        cls_logits: ``(N, K, D, T)``: does the pair fit an instance of the class?
        reg_logits: ``(N, D, T)`` of the pair's highest tIoU with any instance.
        start_logits: ``(N, T)``: does an instance start here?
        end_logits: ``(N, T)``: does one end here?
        masks: ``(N, T)`` bool, True = valid.
    """

    cls_logits: Tensor
    reg_logits: Tensor
    start_logits: Tensor
    end_logits: Tensor
    masks: Tensor

    def signals(self) -> list[Signal]:
        """What tells whether a head still learns."""
        pairs = [valid_pairs(self.masks, self.reg_logits.shape[1]).flatten(1)]
        return [
            Scores('class score', [self.cls_logits.sigmoid().flatten(2)], pairs),
            Scores('tIoU', [self.reg_logits.sigmoid().flatten(1)], pairs),
            Scores('start score', [self.start_logits.sigmoid()], [self.masks]),
            Scores('end score', [self.end_logits.sigmoid()], [self.masks]),
        ]
