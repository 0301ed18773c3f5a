"""Focal loss whose factor is that of a whole batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import get_world_size
from torch import Tensor

from .elementwise_loss import ElementwiseLoss
from .reduction import at_least_float32, over_processes


@MODELS.register_module()
class BatchFocalLoss(ElementwiseLoss):
    r"""Focal cross entropy of TAGS's release (Nag et al., ECCV 2022).

    With the mean cross entropy m of all snippets of the batch,

    .. math:: L = (1 - e^{-m})^\gamma \, m

    so that easy snippets are not discounted one by one, but easy batches are.

    Args:
        gamma: How much an easy batch is discounted.
        loss_weight: Factor of the result.
    """

    def __init__(self, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight=loss_weight)
        self.gamma = gamma

    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """``-log p`` of the true classes, from log-odds of classes that exclude each other."""
        return F.softplus(-at_least_float32(pred)) * target

    def weighted(self, loss: Tensor) -> Tensor:
        """The loss from the mean cross entropy of this process's part of the batch."""
        if get_world_size() > 1:
            # The value of the whole batch, and the gradient of this process's part.
            whole = over_processes(loss.detach()) / get_world_size()
            loss = loss + (whole - loss.detach())
        return self.loss_weight * (1 - torch.exp(-loss)) ** self.gamma * loss
