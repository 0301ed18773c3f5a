"""Making the student's snippet classes and masks those of the teacher."""

from __future__ import annotations

from typing import Any

from mmaction.registry import MODELS
from torch import Tensor

from mmtad_decomp.structures import MaskOutputs

from .prediction_mimic_loss import OutputsMimicLoss
from .score_map_mimic_loss import score_distance


@MODELS.register_module()
class MaskPredictionMimicLoss(OutputsMimicLoss):
    """All predictions of a :class:`TAGSHead`: the classes and the masks of the valid snippets.

    Both are compared by Kullback-Leibler divergence, see :func:`score_distance`.

    Args:
        mask_weight: Factor of the masks' distance.
        **kwargs: Arguments of :class:`OutputsMimicLoss`: ``temperature``, ``class_weight``.
    """

    outputs = MaskOutputs

    def __init__(self, mask_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_weight = mask_weight

    def compare(self, student: MaskOutputs, teacher: MaskOutputs) -> Tensor:
        """Compare outputs of heads with the same classes."""
        valid = student.masks
        tau = self.temperature
        classes = score_distance(student.cls_logits, teacher.cls_logits, valid[:, None], 'kl', tau)
        pairs = valid[:, :, None] & valid[:, None, :]
        segments = score_distance(student.mask_logits, teacher.mask_logits, pairs, 'kl', tau)
        return self.class_weight * classes + self.mask_weight * segments
