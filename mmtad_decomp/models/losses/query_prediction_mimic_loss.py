"""Making the student's set of segments that of the teacher."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import QueryOutputs, center_width_to_offsets

from ..task_modules import solve_assignments
from .prediction_mimic_loss import OutputsMimicLoss
from .reduction import batch_divisor
from .segment_iou_loss import segment_giou_loss


@MODELS.register_module()
class QueryPredictionMimicLoss(OutputsMimicLoss):
    r"""Classes and segments of a head with queries, after matching student and teacher.

    The queries of the teacher's last layer are matched one to one with those of every layer of
    the student, so that the loss itself is the least. A pair of student's query i and teacher's
    query j costs

    .. math:: a \tau^2 \sum_k KL(\sigma(t_{jk} / \tau) \,||\, \sigma(s_{ik} / \tau))
        + c_j (b |x_i - y_j|_1 + g (1 - GIoU(x_i, y_j)) + d |u_i - v_j|)

    with logits s and t, segments x and y (centre and width), actionness u and v (of the last
    layer only) and the teacher's confidence :math:`c_j`: its highest class probability times its
    actionness. The cost of the matched pairs is summed over queries, divided by the summed
    confidence, so that it reads like a head's loss per segment, and summed over the layers.

    Args:
        l1_weight: b.
        giou_weight: g.
        actionness_weight: d.
        **kwargs: Arguments of :class:`OutputsMimicLoss`: ``temperature`` (:math:`\tau`),
            ``class_weight`` (a).
    """

    outputs = QueryOutputs

    def __init__(
        self,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        actionness_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight
        self.actionness_weight = actionness_weight

    def compare(self, student: QueryOutputs, teacher: QueryOutputs) -> Tensor:
        """Compare outputs of heads with the same classes; 0 where no window has a valid step."""
        _check(student, teacher)
        confidence = teacher.cls_logits[-1].detach().float().sigmoid().amax(-1)
        if teacher.actionness is not None:
            confidence = confidence * teacher.actionness.detach()
        cost = self._pair_costs(student, teacher, confidence)
        valid = (student.lengths > 0) & (teacher.lengths > 0)
        divisor = batch_divisor(confidence[valid].sum())
        rows = valid.nonzero().flatten().tolist()
        if not rows:
            return 0 * cost.sum()
        matches = solve_assignments([cost[:, row] for row in rows])
        samples = torch.tensor(rows, device=cost.device)[matches.samples]
        targets = matches.targets % cost.shape[-1]
        matched = cost[matches.layers, samples, matches.queries, targets]
        return matched.sum() / divisor

    def _pair_costs(
        self, student: QueryOutputs, teacher: QueryOutputs, confidence: Tensor
    ) -> Tensor:
        """``(L, N, Q, Q')`` cost of every pair, confidence ``(N, Q')``."""
        logits = student.cls_logits.float()[..., :, None, :] / self.temperature
        other = teacher.cls_logits[-1].detach().float()[..., None, :, :] / self.temperature
        soft = other.sigmoid()
        # Binary cross entropy of logit x and target y is softplus(x) - x y.
        entropy = (F.softplus(other) - other * soft).sum(-1)
        cross = (F.softplus(logits) - logits * soft).sum(-1)
        own = student.segments[..., :, None, :]
        wanted = teacher.segments[-1].detach()[..., None, :, :]
        apart = self.l1_weight * (own - wanted).abs().sum(-1)
        apart = apart + self.giou_weight * segment_giou_loss(
            center_width_to_offsets(own), center_width_to_offsets(wanted)
        )
        if student.actionness is not None and teacher.actionness is not None:
            gap = student.actionness[..., :, None] - teacher.actionness.detach()[..., None, :]
            last = self.actionness_weight * gap.abs()
            apart = torch.cat((apart[:-1], apart[-1:] + last), dim=0)
        classes = self.class_weight * self.temperature**2 * (cross - entropy)
        return classes + confidence[:, None] * apart


def _check(student: QueryOutputs, teacher: QueryOutputs) -> None:
    (_, windows, _, classes), (_, others, _, names) = (
        student.cls_logits.shape,
        teacher.cls_logits.shape,
    )
    if (windows, classes) != (others, names):
        raise ValueError(
            f'query prediction mimic: student and teacher give (windows, classes) '
            f'{(windows, classes)} and {(others, names)}; they need the same classes in the same '
            'order'
        )
