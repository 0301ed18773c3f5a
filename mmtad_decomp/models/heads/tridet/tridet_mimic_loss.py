"""Making the student's TriDet predictions those of the teacher."""

from __future__ import annotations

from typing import Any

from mmaction.registry import MODELS
from torch import Tensor

from ...losses.point_prediction_mimic_loss import PointPredictionMimicLoss
from ...losses.prediction_mimic_loss import OutputsMimicLoss
from .tridet_outputs import TriDetOutputs


@MODELS.register_module()
class TriDetMimicLoss(OutputsMimicLoss):
    """:class:`PointPredictionMimicLoss` on the boundaries of the teacher's best class.

    Args:
        **kwargs: Arguments of :class:`PointPredictionMimicLoss`.
    """

    outputs = TriDetOutputs

    def __init__(self, init_cfg: dict | None = None, **kwargs: Any) -> None:
        super().__init__(init_cfg=init_cfg)
        self.points = PointPredictionMimicLoss(**kwargs)

    def compare(self, student: TriDetOutputs, teacher: TriDetOutputs) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        best = tuple(logits.argmax(dim=1) for logits in teacher.cls_logits)
        return self.points(student.of_classes(best), teacher.of_classes(best))
