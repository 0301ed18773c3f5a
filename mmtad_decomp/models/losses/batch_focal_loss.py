"""Focal loss whose factor is that of a whole batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import get_world_size
from torch import Tensor, nn

from .reduction import at_least_float32, over_processes, reduce_loss


@MODELS.register_module()
class BatchFocalLoss(nn.Module):
    r"""Focal cross entropy of TAGS's release (Nag et al., ECCV 2022).

    With the mean cross entropy m of all snippets of the batch,

    .. math:: L = (1 - e^{-m})^\gamma \, m

    so that easy snippets are not discounted one by one, but easy batches are.

    Args:
        gamma: How much an easy batch is discounted.
        loss_weight: Factor of the result.
    """

    def __init__(self, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            logits: Log-odds of the probabilities of classes that exclude each other, any shape.
                Half precision is computed in float32.
            targets: In [0, 1], same shape.
            weight: Per element, broadcastable.
            avg_factor: Divisor of the sum in place of the number of elements, such as the number
                of snippets.

        Returns:
            A scalar.
        """
        logits = at_least_float32(logits)
        entropy = F.softplus(-logits) * targets  # -log p of the true classes
        mean = reduce_loss(entropy, 'mean', weight, avg_factor)
        if get_world_size() > 1:
            # The value of the whole batch, and the gradient of this process's part.
            whole = over_processes(mean.detach()) / get_world_size()
            mean = mean + (whole - mean.detach())
        return self.loss_weight * (1 - torch.exp(-mean)) ** self.gamma * mean
