"""Targets of heads that classify snippets and segment the instance of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from .instances import segments_and_labels


class MaskTargets(NamedTuple):
    """Targets of snippets.

    Attributes:
        labels: ``(N, K, T)`` bool: does the snippet belong to an instance of the class?
        masks: ``(N, T, T)`` bool: the steps of the snippet's instance, none for a snippet of
            background.
    """

    labels: Tensor
    masks: Tensor


def mask_targets(masks: Tensor, gt: Sequence[InstanceData], num_classes: int) -> MaskTargets:
    """Make the targets of a batch.

    Snippet t, which lies at step t, belongs to an instance ``[start, end]`` if
    ``start <= t <= end``, or if it is the nearest to the middle of one that holds no step. It
    belongs to all classes of its instances; its mask is that of the shortest.

    Args:
        masks: ``(N, T)`` bool, True = valid.
        gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).
        num_classes: K; with 1, labels are ignored.
    """
    step = torch.arange(masks.shape[1], device=masks.device)
    samples = []
    for mask, instances in zip(masks, gt):
        segments, labels = segments_and_labels(instances, mask.device, num_classes)
        start, end = segments[:, :1], segments[:, 1:]
        inside = (start <= step) & (step <= end)
        inside |= step == torch.floor((start + end) / 2 + 0.5)
        inside &= mask
        per_class = F.one_hot(labels, num_classes).T.float() @ inside.float()
        samples.append((per_class > 0, _shortest(inside, (end - start)[:, 0])))
    return MaskTargets(*(torch.stack(field) for field in zip(*samples)))


def _shortest(inside: Tensor, lengths: Tensor) -> Tensor:
    """``(T, T)``: for every snippet, ``inside`` (G, T) of the shortest instance that holds it."""
    nothing = inside.new_zeros(1, inside.shape[1])
    lengths = torch.where(inside, lengths[:, None], torch.inf)
    lengths = torch.cat((lengths, lengths.new_full(nothing.shape, torch.finfo().max)))
    return torch.cat((inside, nothing))[lengths.argmin(dim=0)]
