"""Raw outputs of detection heads: the types that heads return, and losses and tools read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .output_signals import Distances, Scores, Signal
from .segments import valid_pairs

# Logit of what cannot be: of padded snippets' classes and of padded steps in masks.
IMPOSSIBLE = -1e4


class PointOutputs(NamedTuple):
    """Raw outputs of a head that predicts at the points of a pyramid; one entry per level.

    Attributes:
        cls_logits: ``(N, K, T_l)``.
        offsets: ``(N, 2, T_l)`` non-negative distances to start and end, in strides of the level.
        masks: ``(N, T_l)`` bool, True = valid.
    """

    cls_logits: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    def signals(self) -> list[Signal]:
        """Signals that tell whether a head still learns."""
        left, right = ([x[:, side] for x in self.offsets] for side in (0, 1))
        return [
            Scores('class score', [x.sigmoid() for x in self.cls_logits], self.masks),
            Distances('left offset', left, self.masks),
            Distances('right offset', right, self.masks),
        ]


class ScoreMapOutputs(NamedTuple):
    """Raw outputs of a head over all pairs of start step s and duration index d, and all steps.

    Pair (d, s) is the segment ``[s - 1/2, s + d + 1/2]`` in feature steps, see
    :class:`~mmtad_decomp.models.task_modules.ScoreMapTargetGenerator`.

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
        """Signals that tell whether a head still learns."""
        pairs = [valid_pairs(self.masks, self.reg_logits.shape[1]).flatten(1)]
        return [
            Scores('class score', [self.cls_logits.sigmoid().flatten(2)], pairs),
            Scores('tIoU', [self.reg_logits.sigmoid().flatten(1)], pairs),
            Scores('start score', [self.start_logits.sigmoid()], [self.masks]),
            Scores('end score', [self.end_logits.sigmoid()], [self.masks]),
        ]


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

    @staticmethod
    def batch_axis(field: str) -> int:
        """Along which axis of a field the N samples lie."""
        return 1 if field in ('cls_logits', 'segments') else 0

    def signals(self) -> list[Signal]:
        """Signals that tell whether a head still learns; levels are layers, points are queries."""
        layers, _, queries, _ = self.cls_logits.shape
        masks = [(self.lengths > 0)[:, None].expand(-1, queries)] * layers
        signals: list[Signal] = [
            Scores('class score', self.cls_logits.sigmoid().transpose(2, 3), masks),
            Scores('centre', self.segments[..., 0], masks),
            Scores('width', self.segments[..., 1], masks),
        ]
        if self.actionness is not None:
            signals.append(Scores('actionness', [self.actionness], masks[:1]))
        return signals


class MaskOutputs(NamedTuple):
    """Raw outputs of a head with one mask for every snippet t; a snippet is a feature step.

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
        """Signals that tell whether a head still learns."""
        pairs = self.masks[:, :, None] & self.masks[:, None, :]
        return [
            Scores('class score', [self.cls_logits.sigmoid()], [self.masks]),
            Scores('mask score', [self.mask_logits.sigmoid().flatten(1)], [pairs.flatten(1)]),
        ]


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
    """Raw outputs of a head that predicts at points and refines each prediction (AFSD).

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
        """Signals that tell whether a head still learns; refined offsets follow coarse ones."""
        refined = [x.sigmoid() for x in self.refined.cls_logits]
        quality = [x.sigmoid() for x in self.quality]
        return [
            *self.coarse.signals(),
            Scores('refined class score', refined, self.masks),
            Scores('quality', quality, self.masks),
        ]
