"""Base class of point heads whose losses are divided by a moving average."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor

from ..losses.reduction import over_processes
from .point_head import PointHead


class AveragedPointHead(PointHead):
    """A :class:`PointHead` whose losses are divided by a moving average of positive points.

    Args:
        *args: ``num_classes``, ``in_channels`` and ``strides`` of :class:`PointHead`.
        loss_norm: First value of the average.
        loss_norm_momentum: Its momentum.
        **kwargs: Arguments of :class:`PointHead`: ``point_generator``, ``assigner``, ``loss_cls``,
            ``loss_reg``, ``min_length``, ``score_thr``, ``nms_pre``.
    """

    def __init__(
        self, *args: Any, loss_norm: float = 100.0, loss_norm_momentum: float = 0.9, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.loss_norm_momentum = loss_norm_momentum
        self.register_buffer('loss_norm', torch.tensor(float(loss_norm)))

    @torch.no_grad()
    def average_positives(self, num_positive: Tensor) -> Tensor:
        """Moving average of the number of positive points, advanced while training.

        Args:
            num_positive: Scalar, of this process's part of the batch.

        Returns:
            What this process's sums are divided by, see
            :func:`~mmtad_decomp.models.losses.reduction.batch_divisor`.
        """
        if self.training:
            current = over_processes(num_positive).clamp(min=1).to(self.loss_norm)
            self.loss_norm.lerp_(current, 1 - self.loss_norm_momentum)
        return self.loss_norm / get_world_size()
