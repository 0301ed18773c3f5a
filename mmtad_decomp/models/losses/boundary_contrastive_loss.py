"""Boundary contrastive learning of AFSD: the ends of a cut are alike, and not like background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmtad_decomp.structures import TADDataSample

from ..task_modules import insert_background

if TYPE_CHECKING:
    from ..detectors import TADDetector


@MODELS.register_module()
class BoundaryContrastiveLoss(BaseModule):
    r"""Triplet loss on a copy of the batch in which background cuts instances in two.

    Background of the window is inserted into an instance, see
    :func:`~mmtad_decomp.models.task_modules.insert_background`, and the detector sees that window
    too. With :math:`a` the features pooled around the end of the instance's first part, :math:`p`
    those around the start of its second part and :math:`n` those around the start of the
    background, the loss is the mean over the cut windows of

    .. math:: \max(\lVert a - p \rVert_2 - \lVert a - n \rVert_2 + margin, 0)

    summed over the head's kinds of boundary features (Lin et al., "AFSD", CVPR 2021).

    Args:
        background: Seconds of background to insert; instances of more than twice as many are cut.
        margin: Of the triplet loss.
        part_weights: Weight of each kind of boundary features: the finest, and those of the box
            and of the class branch.
        loss_weight: Factor of the result.

    Raises:
        ValueError: If ``background`` is not positive.
    """

    def __init__(
        self,
        background: float = 1.0,
        margin: float = 1.0,
        part_weights: Sequence[float] = (1.0, 0.1, 0.1),
        loss_weight: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if background <= 0:
            raise ValueError(f'background must be more than 0 seconds, got {background}')
        self.background = background
        self.margin = margin
        self.part_weights = tuple(part_weights)
        self.loss_weight = loss_weight

    def forward(
        self,
        detector: TADDetector,
        inputs: Tensor,
        masks: Tensor,
        data_samples: Sequence[TADDataSample],
    ) -> Tensor:
        """Cut what can be cut, run the detector on it, and compare its boundary features.

        Args:
            detector: A detector whose head can pool around boundaries (``pool_boundaries``).
            inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features.
            masks: ``(N, T)`` bool, True at valid steps.
            data_samples: One for each window, with its ground truth.

        Returns:
            A scalar; 0 where no window can be cut, the detector is then not run.
        """
        time_dim = 1 if inputs.dim() == 5 else 2
        rows, cut, segments = [], [], []
        for row, (sample, valid) in enumerate(zip(data_samples, masks.sum(dim=1).tolist())):
            grid = sample.time_grid
            width = max(round(self.background * grid.fps / grid.stride), 1)
            steps = grid.to_steps(sample.gt_instances.segments.double())
            insertion = insert_background(valid, steps, width)
            if insertion is not None:
                padding = torch.arange(valid, inputs.shape[time_dim])
                order = torch.cat((insertion.order, padding)).to(inputs.device)
                rows.append(row)
                cut.append(inputs[row].index_select(time_dim - 1, order))
                segments.append(
                    detector.grid(sample).to_steps(grid.to_seconds(insertion.segments))
                )
        if not rows:
            return inputs.new_zeros(())
        outputs = detector.detect(torch.stack(cut), masks[rows])
        segments = torch.stack(segments).to(inputs.device, torch.float32)
        losses = (
            weight * self._triplets(pooled)
            for weight, pooled in zip(
                self.part_weights, detector.head.pool_boundaries(outputs, segments), strict=True
            )
        )
        return self.loss_weight * sum(losses)

    def _triplets(self, pooled: Tensor) -> Tensor:
        """``(N, C, 3)`` features of the three segments; the first C/2 belong to starts."""
        starts, ends = pooled.float().chunk(2, dim=1)
        return F.triplet_margin_loss(ends[..., 0], starts[..., 1], starts[..., 2], self.margin)
