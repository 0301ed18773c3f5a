"""Making the student's coarse and refined predictions those of the teacher."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import AFSDOutputs

from ..layers import recoverable_sigmoid
from .point_prediction_mimic_loss import PointPredictionMimicLoss
from .reduction import batch_divisor


@MODELS.register_module()
class AFSDPredictionMimicLoss(PointPredictionMimicLoss):
    """:class:`PointPredictionMimicLoss` of coarse and refined predictions, and the quality's.

    The quality term is the squared difference of the estimated tIoUs, weighted with the teacher's
    confidence in its refined class and divided by the summed confidence.

    Args:
        coarse_weight: Factor of the coarse term.
        refined_weight: Factor of the refined term.
        quality_weight: Factor of the quality term.
        **kwargs: Arguments of :class:`PointPredictionMimicLoss`.
    """

    outputs = AFSDOutputs

    def __init__(
        self,
        coarse_weight: float = 1.0,
        refined_weight: float = 1.0,
        quality_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coarse_weight = coarse_weight
        self.refined_weight = refined_weight
        self.quality_weight = quality_weight

    def compare(self, student: AFSDOutputs, teacher: AFSDOutputs) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        points = self.coarse_weight * self.compare_points(student.coarse, teacher.coarse)
        refined = self.compare_points(student.refined, teacher.refined)
        points = points + self.refined_weight * refined
        valid = torch.cat(teacher.masks, dim=1)
        logits = torch.cat(teacher.refined.cls_logits, dim=2).detach().float()
        confidence = logits.sigmoid().amax(dim=1) * valid
        own = recoverable_sigmoid(torch.cat(student.quality, dim=1))
        wanted = torch.cat(teacher.quality, dim=1).detach().float().sigmoid()
        distance = (confidence * (own - wanted).square()).sum()
        quality = distance / batch_divisor(confidence.sum())
        return points + self.quality_weight * quality
