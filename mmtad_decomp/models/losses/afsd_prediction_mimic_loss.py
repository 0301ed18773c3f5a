"""Making the student's coarse and refined predictions those of the teacher."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import AFSDOutputs

from ..layers import recoverable_sigmoid
from .point_prediction_mimic_loss import PointPredictionMimicLoss
from .prediction_mimic_loss import OutputsMimicLoss
from .reduction import batch_divisor


@MODELS.register_module()
class AFSDPredictionMimicLoss(OutputsMimicLoss):
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
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.coarse_weight = coarse_weight
        self.refined_weight = refined_weight
        self.quality_weight = quality_weight
        self.point_loss = PointPredictionMimicLoss(**kwargs)

    def compare(self, student: AFSDOutputs, teacher: AFSDOutputs) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        points = self.coarse_weight * self.point_loss(student.coarse, teacher.coarse)
        points = points + self.refined_weight * self.point_loss(student.refined, teacher.refined)
        valid = torch.cat(teacher.masks, dim=1)
        logits = torch.cat(teacher.refined.cls_logits, dim=2).detach().float()
        confidence = logits.sigmoid().amax(dim=1) * valid
        own = recoverable_sigmoid(torch.cat(student.quality, dim=1))
        wanted = torch.cat(teacher.quality, dim=1).detach().float().sigmoid()
        distance = (confidence * (own - wanted).square()).sum()
        quality = distance / batch_divisor(confidence.sum())
        return points + self.quality_weight * quality
