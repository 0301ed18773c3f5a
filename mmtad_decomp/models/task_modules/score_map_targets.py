"""Targets of heads that score (start, duration) pairs and boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.structures import pairwise_tiou

from .instances import segments_and_labels


class ScoreMapTargets(NamedTuple):
    """Target scores of pairs and steps.

    Attributes:
        ious: ``(N, K, D, T)`` highest tIoU of pair (d, s) with an instance of the class.
        best: ``(N, K, D, T)`` bool, the pair of highest tIoU of an instance; the first of several.
        starts: ``(N, T)`` share of the step in the surroundings of a start.
        ends: ``(N, T)`` share of the step in the surroundings of an end.
    """

    ious: Tensor
    best: Tensor
    starts: Tensor
    ends: Tensor


@TASK_UTILS.register_module()
class ScoreMapTargetGenerator:
    """G-TAD's targets (after BSN and BMN, Lin et al., 2018 and 2019).

    Step g is the span ``[g - 1/2, g + 1/2]`` in feature steps, whose integers are middles of
    steps. Pair (d, s) is the segment of the steps s to s + d, ``[s - 1/2, s + d + 1/2]``,
    compared with the instances cut to the valid steps ``[-1/2, L - 1/2]``. The surroundings of a
    boundary b are ``[b - w / 2, b + w / 2]``, of which step g sees what lies in its span.

    Args:
        max_duration: D.
        boundary_width: w in feature steps.
    """

    def __init__(self, max_duration: int, boundary_width: float = 3.0) -> None:
        self.max_duration = max_duration
        self.boundary_width = boundary_width

    def __call__(
        self, masks: Tensor, gt: Sequence[InstanceData], num_classes: int
    ) -> ScoreMapTargets:
        """Make the targets of a batch.

        Args:
            masks: ``(N, T)`` bool, True at the first L steps of a sample.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).
            num_classes: K; with 1, labels are ignored.
        """
        samples = []
        for mask, instances in zip(masks, gt):
            segments, labels = segments_and_labels(instances, mask.device, num_classes)
            maps = self._maps(mask, segments, labels, num_classes)
            samples.append((*maps, *(self._near(mask, b) for b in segments.unbind(dim=1))))
        return ScoreMapTargets(*(torch.stack(field) for field in zip(*samples)))

    def _maps(
        self, mask: Tensor, segments: Tensor, labels: Tensor, num_classes: int
    ) -> tuple[Tensor, Tensor]:
        """``(K, D, T)`` highest tIoU, and the best pair of each instance."""
        steps = len(mask)
        start = torch.arange(steps, device=mask.device).repeat(self.max_duration) - 0.5
        length = torch.arange(1, self.max_duration + 1, device=mask.device)
        pairs = torch.stack((start, start + length.repeat_interleave(steps)), dim=1)
        cut = torch.minimum(segments.clamp(min=-0.5), mask.sum() - 0.5)
        tious = pairwise_tiou(cut, pairs)
        ious = pairs.new_zeros(num_classes, len(pairs))
        ious.scatter_reduce_(0, labels[:, None].expand_as(tious), tious, 'amax')
        best = torch.zeros_like(ious, dtype=torch.bool)
        best[labels, tious.argmax(dim=1)] = True
        shape = (self.max_duration, steps)
        return ious.unflatten(1, shape), best.unflatten(1, shape)

    def _near(self, mask: Tensor, boundaries: Tensor) -> Tensor:
        """``(T,)`` share of each step in the surroundings of the nearest boundary."""
        step = torch.arange(len(mask), device=mask.device)[:, None]
        half = self.boundary_width / 2
        left = torch.maximum(step - 0.5, boundaries - half)
        right = torch.minimum(step + 0.5, boundaries + half)
        share = (right - left).clamp(min=0)
        return torch.cat((share, share.new_zeros(len(mask), 1)), dim=1).amax(dim=1)
