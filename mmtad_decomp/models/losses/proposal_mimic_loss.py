"""Making the student refine proposals as the teacher does."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from .reduction import batch_divisor


@MODELS.register_module()
class ProposalMimicLoss(BaseModule):
    """Output of a regressor that refines given proposals, such as one of TCANet's (``TBR``).

    Estimated tIoUs are compared by smooth L1, as they are trained; segments by the mean L1
    distance of starts and ends over the length of the teacher's segment, weighted with the
    teacher's tIoU and divided by the sum of these weights.

    Args:
        iou_weight: Factor of the tIoUs' distance.
        segment_weight: Factor of the segments'.
    """

    def __init__(
        self,
        iou_weight: float = 1.0,
        segment_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.iou_weight = iou_weight
        self.segment_weight = segment_weight

    def forward(self, student: Any, teacher: Any, masks: Tensor | None = None) -> Tensor:
        """Compare outputs whose first items are tIoUs ``(P,)`` and segments ``(P, 2)``.

        Args:
            student: Output of the student's regressor.
            teacher: Output of the teacher's, for the same proposals; no gradient flows into it.
            masks: Unused: a proposal has no steps.

        Raises:
            TypeError: If an output is no such tuple.
            ValueError: If there are not as many proposals on both sides.
        """
        for name, output in (('student', student), ('teacher', teacher)):
            if not isinstance(output, (tuple, list)) or len(output) < 2:
                raise TypeError(
                    f'proposal mimic: the {name} gives {type(output).__name__}, not a tuple of '
                    'tIoUs (P,) and segments (P, 2); set `source` to a regressor'
                )
        (iou, segments), (other_iou, other_segments) = student[:2], teacher[:2]
        if iou.shape != other_iou.shape or segments.shape != other_segments.shape:
            raise ValueError(
                f'proposal mimic: the student refined {len(iou)} proposals, the teacher '
                f'{len(other_iou)}; both need the same ones, from the data samples'
            )
        other_iou, other_segments = other_iou.detach(), other_segments.detach()
        length = (other_segments[:, 1] - other_segments[:, 0]).clamp(min=1e-3)
        distance = (segments - other_segments).abs().mean(dim=1) / length
        weighted = (distance * other_iou).sum() / batch_divisor(other_iou.sum(), minimum=1e-6)
        ious = F.smooth_l1_loss(iou, other_iou, reduction='sum') / batch_divisor(len(iou))
        return self.iou_weight * ious + self.segment_weight * weighted
