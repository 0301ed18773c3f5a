"""Base class of heads that choose their candidates by the score."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .temporal_head import TemporalHead


class CandidateHead(TemporalHead):
    """A head whose candidates are the best of all that it scores.

    Args:
        *args: ``num_classes`` and ``in_channels`` of :class:`TemporalHead`.
        score_thr: Candidates need a score above this.
        nms_pre: Candidates kept per window, or per level of a pyramid.
    """

    def __init__(
        self, *args: Any, score_thr: float = 0.001, nms_pre: int = 2000, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.score_thr = score_thr
        self.nms_pre = nms_pre

    def choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The ``nms_pre`` best of ``(M,)`` scores that are above ``score_thr``.

        Returns:
            Scores, falling, and their places.
        """
        scores, places = scores.topk(min(self.nms_pre, len(scores)))
        above = scores > self.score_thr
        return scores[above], places[above]
