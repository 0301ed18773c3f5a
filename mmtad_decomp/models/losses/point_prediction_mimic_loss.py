"""Making the student's anchor-free predictions those of the teacher."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import PointOutputs

from .prediction_mimic_loss import OutputsMimicLoss
from .reduction import batch_divisor
from .segment_iou_loss import segment_giou_loss


@MODELS.register_module()
class PointPredictionMimicLoss(OutputsMimicLoss):
    """Classes and boundaries of a dense head, point by point.

    Classes: ``tau^2 * KL(sigmoid(t / tau) || sigmoid(s / tau))`` per class, with logits s and t
    and temperature tau (Hinton et al., 2015, for independent sigmoids). Boundaries: ``1 - GIoU``
    of the two segments of a point, or the L1 distance of their offsets. The class term is summed
    over points and classes, the boundary term over points weighted with the teacher's confidence
    (its highest class score), and both are divided by the summed confidence, so that they read
    like the losses of a head per positive point.

    Args:
        boundary: ``'giou'`` or ``'l1'``.
        boundary_weight: Factor of the boundary term.
        **kwargs: Arguments of :class:`OutputsMimicLoss`: ``temperature``, ``class_weight``.
    """

    outputs: ClassVar[type] = PointOutputs

    def __init__(
        self, boundary: str = 'giou', boundary_weight: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if boundary not in ('giou', 'l1'):
            raise ValueError(f"boundary must be 'giou' or 'l1', got {boundary!r}")
        self.boundary = boundary
        self.boundary_weight = boundary_weight

    def compare(self, student: Any, teacher: Any) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        return self.compare_points(student, teacher)

    def compare_points(self, student: PointOutputs, teacher: PointOutputs) -> Tensor:
        """The distance of predictions at the same points."""
        own, other = _flatten(student), [part.detach() for part in _flatten(teacher)]
        if own[0].shape != other[0].shape:
            raise ValueError(
                f'prediction mimic: student and teacher give (points, classes) '
                f'{tuple(own[0].shape)} and {tuple(other[0].shape)}; they need the same classes, '
                'levels and feature stride'
            )
        (logits, offsets), (teacher_logits, teacher_offsets) = own, other
        confidence = teacher_logits.sigmoid().amax(dim=1)
        normaliser = batch_divisor(confidence.sum())
        soft = (teacher_logits / self.temperature).sigmoid()
        cross = F.binary_cross_entropy_with_logits(
            logits / self.temperature, soft, reduction='none'
        )
        entropy = F.binary_cross_entropy_with_logits(
            teacher_logits / self.temperature, soft, reduction='none'
        )
        classes = self.temperature**2 * (cross - entropy).sum() / normaliser
        if self.boundary == 'giou':
            distance = segment_giou_loss(offsets, teacher_offsets)
        else:
            distance = (offsets - teacher_offsets).abs().mean(dim=1)
        boundaries = (confidence * distance).sum() / normaliser
        return self.class_weight * classes + self.boundary_weight * boundaries


def _flatten(outputs: PointOutputs) -> tuple[Tensor, Tensor]:
    """Logits ``(P, K)`` and offsets ``(P, 2)`` of all valid points, in float32."""
    masks = torch.cat(outputs.masks, dim=1)
    logits = torch.cat(outputs.cls_logits, dim=2).float().transpose(1, 2)[masks]
    offsets = torch.cat(outputs.offsets, dim=2).float().transpose(1, 2)[masks]
    return logits, offsets
