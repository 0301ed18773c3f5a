"""Making the student's TriDet predictions those of the teacher."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor

from ...losses.point_prediction_mimic_loss import PointPredictionMimicLoss
from ...losses.prediction_mimic_loss import OutputsMimicLoss
from .tridet_outputs import TriDetOutputs


@MODELS.register_module()
class TriDetMimicLoss(OutputsMimicLoss):
    """:class:`PointPredictionMimicLoss` on the boundaries of the teacher's best class.

    Args:
        temperature: See :class:`PointPredictionMimicLoss`.
        boundary: The same.
        class_weight: The same.
        boundary_weight: The same.
    """

    outputs = TriDetOutputs

    def __init__(
        self,
        temperature: float = 1.0,
        boundary: str = 'giou',
        class_weight: float = 1.0,
        boundary_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.points = PointPredictionMimicLoss(
            temperature, boundary, class_weight, boundary_weight
        )

    def compare(self, student: TriDetOutputs, teacher: TriDetOutputs) -> Tensor:
        """Compare outputs of heads with the same levels and classes."""
        best = tuple(logits.argmax(dim=1) for logits in teacher.cls_logits)
        return self.points(student.of_classes(best), teacher.of_classes(best))
