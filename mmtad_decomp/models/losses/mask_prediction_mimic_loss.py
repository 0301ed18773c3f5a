"""Making the student's snippet classes and masks those of the teacher."""

from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..heads.tags_outputs import MaskOutputs
from .outputs_check import check_outputs
from .score_map_mimic_loss import score_distance


@MODELS.register_module()
class MaskPredictionMimicLoss(BaseModule):
    """All predictions of a :class:`TAGSHead`: the classes and the masks of the valid snippets.

    Both are compared by Kullback-Leibler divergence, see :func:`score_distance`.

    Args:
        temperature: Of the divergences.
        class_weight: Factor of the classes' distance.
        mask_weight: Factor of the masks'.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        class_weight: float = 1.0,
        mask_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.temperature = temperature
        self.class_weight = class_weight
        self.mask_weight = mask_weight

    def forward(
        self, student: MaskOutputs, teacher: MaskOutputs, masks: Tensor | None = None
    ) -> Tensor:
        """Compare outputs of heads with the same classes.

        Args:
            student: Outputs of the student's head.
            teacher: Outputs of the teacher's head; no gradient flows into them.
            masks: Unused, since the outputs hold their masks.

        Raises:
            TypeError: If one of the heads gives no masks of snippets.
            ValueError: If the shapes do not agree.
        """
        check_outputs(MaskOutputs, student, teacher)
        valid = student.masks
        tau = self.temperature
        classes = score_distance(student.cls_logits, teacher.cls_logits, valid[:, None], 'kl', tau)
        pairs = valid[:, :, None] & valid[:, None, :]
        segments = score_distance(student.mask_logits, teacher.mask_logits, pairs, 'kl', tau)
        return self.class_weight * classes + self.mask_weight * segments
