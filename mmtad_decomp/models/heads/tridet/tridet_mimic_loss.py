"""Making the student's TriDet predictions those of the teacher."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor

from ...losses.point_prediction_mimic_loss import PointPredictionMimicLoss
from .tridet_outputs import TriDetOutputs


@MODELS.register_module()
class TriDetMimicLoss(PointPredictionMimicLoss):
    """:class:`PointPredictionMimicLoss` on the boundaries of the teacher's best class."""

    outputs = TriDetOutputs

    def compare(self, student: TriDetOutputs, teacher: TriDetOutputs) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        best = tuple(logits.argmax(dim=1) for logits in teacher.cls_logits)
        return self.compare_points(student.of_classes(best), teacher.of_classes(best))
