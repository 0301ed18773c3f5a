"""One-to-one assignment of predicted segments to the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor

from mmtad_decomp.structures import center_width_to_start_end, pairwise_tiou


class Matches(NamedTuple):
    """Matched pairs of all layers and samples; every field is ``(M,)`` int64.

    Attributes:
        layers: Decoder layer of the query.
        samples: Sample of the query.
        queries: The query.
        targets: Its target, counted through the targets of all samples.
    """

    layers: Tensor
    samples: Tensor
    queries: Tensor
    targets: Tensor


def solve_assignments(costs: Sequence[Tensor]) -> Matches:
    """Pair rows and columns of every matrix so that the summed cost is the least.

    All costs travel to the host in one transfer. Costs that are not finite count as very high,
    so that a diverged model shows in its losses and not here.

    Args:
        costs: Per sample ``(L, Q, G)``, one matrix per layer; Q and L are the same for all.

    Returns:
        ``min(Q, G)`` pairs per matrix, targets counted through all samples.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    device = costs[0].device
    flat = torch.cat([cost.detach().float().flatten() for cost in costs])
    flat = flat.nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu()
    pairs, start = [torch.zeros(4, 0, dtype=torch.int64)], 0
    parts = flat.split([cost.numel() for cost in costs])
    for sample, (cost, part) in enumerate(zip(costs, parts)):
        for layer, matrix in enumerate(part.view(cost.shape).numpy()):
            rows, columns = linear_sum_assignment(matrix)
            found = torch.zeros(4, len(rows), dtype=torch.int64)
            found[0], found[1] = layer, sample
            found[2] = torch.from_numpy(rows)
            found[3] = torch.from_numpy(columns) + start
            pairs.append(found)
        start += cost.shape[2]
    return Matches(*torch.cat(pairs, dim=1).to(device))


@TASK_UTILS.register_module()
class HungarianAssigner:
    """TadTR's matching: the pairs of least cost, every target with a query of its own.

    The cost of a pair is ``class_weight * C + l1_weight * |segment difference| - iou_weight *
    IoU`` with C the difference between the focal losses of the target's class as a positive and
    as a negative, and the L1 distance that of centre and width (Carion et al., "DETR", 2020; Zhu
    et al., "Deformable DETR", 2021).

    Args:
        class_weight: Weight of the classification cost.
        l1_weight: Weight of the L1 distance.
        iou_weight: Weight of the IoU.
        alpha: The focal loss's weight of positives.
        gamma: Its exponent.

    Raises:
        ValueError: If all weights are zero.
    """

    def __init__(
        self,
        class_weight: float = 6.0,
        l1_weight: float = 5.0,
        iou_weight: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        if not (class_weight or l1_weight or iou_weight):
            raise ValueError('HungarianAssigner: all weights are zero, so every match is as good')
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.iou_weight = iou_weight
        self.alpha = alpha
        self.gamma = gamma

    def cost(
        self, cls_logits: Tensor, segments: Tensor, gt_labels: Tensor, gt_segments: Tensor
    ) -> Tensor:
        """Cost of every pair of query and target.

        Args:
            cls_logits: ``(..., Q, K)``.
            segments: ``(..., Q, 2)`` centres and widths.
            gt_labels: ``(G,)``.
            gt_segments: ``(G, 2)`` centres and widths.

        Returns:
            ``(..., Q, G)``.
        """
        prob = cls_logits.float().sigmoid()
        positive = -self.alpha * (1 - prob) ** self.gamma * (prob + 1e-8).log()
        negative = -(1 - self.alpha) * prob**self.gamma * (1 - prob + 1e-8).log()
        classes = (positive - negative)[..., gt_labels]
        distance = torch.cdist(segments, gt_segments.expand(*segments.shape[:-2], -1, 2), p=1)
        ends = center_width_to_start_end(segments)
        ious = pairwise_tiou(ends.flatten(0, -2), center_width_to_start_end(gt_segments)).view_as(
            distance
        )
        return self.class_weight * classes + self.l1_weight * distance - self.iou_weight * ious

    @torch.no_grad()
    def assign(
        self,
        cls_logits: Tensor,
        segments: Tensor,
        gt_labels: Sequence[Tensor],
        gt_segments: Sequence[Tensor],
    ) -> Matches:
        """Match the queries of every layer and sample with the sample's targets.

        Args:
            cls_logits: ``(L, N, Q, K)``.
            segments: ``(L, N, Q, 2)`` centres and widths.
            gt_labels: Per sample ``(G,)``.
            gt_segments: Per sample ``(G, 2)`` centres and widths.
        """
        targets = zip(gt_labels, gt_segments)
        return solve_assignments(
            [
                self.cost(cls_logits[:, n], segments[:, n], labels, own)
                for n, (labels, own) in enumerate(targets)
            ]
        )
