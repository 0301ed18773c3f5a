"""What a head with queries returns, and how its segments are written."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmtad_decomp.structures import Scores, Signal, center_width_to_start_end


class QueryOutputs(NamedTuple):
    """Raw outputs of a head whose queries stand for one segment each.

    Segments are centre and width as shares of the window's valid length: with v valid steps,
    step g lies at ``(g + 0.5) / v``, and 0 and 1 are the outer edges of the first and the last
    valid step. So padding does not move them.

    Attributes:
        cls_logits: ``(L, N, Q, K)`` of each of the L decoder layers.
        segments: ``(L, N, Q, 2)`` centres and widths in (0, 1), float32.
        actionness: ``(N, Q)`` predicted IoU of the last layer's segments, in (0, 1); None where
            the head does not predict it.
        lengths: ``(N,)`` valid steps; a window with none has no predictions.
    """

    cls_logits: Tensor
    segments: Tensor
    actionness: Tensor | None
    lengths: Tensor

    def signals(self) -> list[Signal]:
        """What tells whether a head still learns; levels are the layers, points the queries."""
        layers, _, queries, _ = self.cls_logits.shape
        masks = [(self.lengths > 0)[:, None].expand(-1, queries)] * layers
        signals = [
            Scores('class score', self.cls_logits.sigmoid().transpose(2, 3), masks),
            Scores('centre', self.segments[..., 0], masks),
            Scores('width', self.segments[..., 1], masks),
        ]
        if self.actionness is not None:
            signals.append(Scores('actionness', [self.actionness], masks[:1]))
        return signals


def center_width_to_offsets(segments: Tensor) -> Tensor:
    """``(..., 2)`` centres and widths to distances left and right of 0, as IoU losses want."""
    return center_width_to_start_end(segments) * segments.new_tensor((-1.0, 1.0))
