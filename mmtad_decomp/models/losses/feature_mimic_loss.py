"""Making the student's features those of the teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .reduction import batch_divisor


@MODELS.register_module()
class FeatureMimicLoss(BaseModule):
    """Distance of two feature sequences, averaged over valid steps.

    Args:
        distance: ``'mse'``: squared difference, averaged over channels too; ``'cosine'``: one
            minus the cosine of the angle between the two feature vectors of a step.
        adapter: ``dict(in_channels=..., out_channels=...)`` of a linear map from the student's
            to the teacher's channels, used in training only; None where they are equal.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        distance: str = 'mse',
        adapter: dict | None = None,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if distance not in ('mse', 'cosine'):
            raise ValueError(f"distance must be 'mse' or 'cosine', got {distance!r}")
        self.distance = distance
        self.adapter = None if adapter is None else nn.Conv1d(**adapter, kernel_size=1)
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor, masks: Tensor | None = None) -> Tensor:
        """Compare features.

        Args:
            student: ``(N, C, T)``.
            teacher: ``(N, C', T)``; no gradient flows into it.
            masks: ``(N, T)`` bool, True at valid steps; None counts every step.

        Returns:
            Scalar; zero where no step is valid.

        Raises:
            ValueError: If the shapes do not agree.
        """
        if self.adapter is not None:
            student = self.adapter(student)
        if student.shape != teacher.shape:
            raise ValueError(
                f'feature mimic: student {tuple(student.shape)} and teacher '
                f'{tuple(teacher.shape)} differ; give the loss an `adapter`, or the teacher the '
                "student's feature stride"
            )
        student = student.float().transpose(1, 2)
        teacher = teacher.detach().float().transpose(1, 2)
        if masks is None:
            masks = student.new_ones(student.shape[:2], dtype=torch.bool)
        if masks.shape != student.shape[:2]:
            raise ValueError(
                f'feature mimic: masks {tuple(masks.shape)} do not fit features of '
                f'{tuple(student.shape[:2])} (batch, steps); name the masks of these features '
                'with `masks=dict(source=...)` in the mimic'
            )
        student, teacher = student[masks], teacher[masks]
        if self.distance == 'mse':
            per_step = (student - teacher).square().mean(dim=1)
        else:
            per_step = 1 - F.cosine_similarity(student, teacher, dim=1)
        return self.loss_weight * per_step.sum() / batch_divisor(len(per_step))
