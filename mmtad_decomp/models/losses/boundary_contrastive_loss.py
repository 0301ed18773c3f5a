"""Boundary contrastive learning of AFSD: the ends of a cut are alike, and not like background."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from .reduction import batch_divisor


@MODELS.register_module()
class BoundaryContrastiveLoss(BaseModule):
    r"""Triplet loss on features of windows in which background cuts an instance in two.

    With :math:`a` the features pooled around the end of the instance's first part, :math:`p`
    those around the start of its second part and :math:`n` those around the start of the
    background, the loss is the mean over the windows of all processes of

    .. math:: \max(\lVert a - p \rVert_2 - \lVert a - n \rVert_2 + margin, 0)

    summed over the head's kinds of boundary features (Lin et al., "AFSD", CVPR 2021).

    Args:
        margin: Of the triplet loss.
        part_weights: Weight of each kind of boundary features: the finest, and those of the box
            and of the class branch.
        loss_weight: Factor of the result.
    """

    def __init__(
        self,
        margin: float = 1.0,
        part_weights: Sequence[float] = (1.0, 0.1, 0.1),
        loss_weight: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.margin = margin
        self.part_weights = tuple(part_weights)
        self.loss_weight = loss_weight

    def forward(self, pooled: Sequence[Tensor], counted: bool = True) -> Tensor:
        """Compare boundary features; of several processes all do, or none.

        Args:
            pooled: Per kind ``(N, C, 3)`` features around the boundaries of the first part, the
                second part and the background; the first half of the channels belongs to starts,
                the second to ends.
            counted: False for windows that stand in on a process that has none: the loss is 0.

        Returns:
            A scalar.
        """
        divisor = batch_divisor(len(pooled[0]) if counted else 0)
        parts = zip(self.part_weights, pooled, strict=True)
        total = sum(weight * self._triplets(part) for weight, part in parts)
        return self.loss_weight * counted * total / divisor

    def _triplets(self, pooled: Tensor) -> Tensor:
        """The sum over the windows of one kind of features ``(N, C, 3)``."""
        starts, ends = pooled.float().chunk(2, dim=1)
        return F.triplet_margin_loss(
            ends[..., 0], starts[..., 1], starts[..., 2], self.margin, reduction='sum'
        )
