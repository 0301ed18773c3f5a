"""Base class of the losses that are computed element by element, weighted and reduced."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod

from torch import Tensor, nn

from .reduction import check_reduction, reduce_loss


class ElementwiseLoss(nn.Module, metaclass=ABCMeta):
    """Weighting and reduction of the losses of single elements.

    Args:
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the result.

    Raises:
        ValueError: If ``reduction`` is none of the three.
    """

    def __init__(self, reduction: str = 'mean', loss_weight: float = 1.0) -> None:
        super().__init__()
        self.reduction = check_reduction(reduction)
        self.loss_weight = loss_weight

    @abstractmethod
    def elementwise(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss of each element."""

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred: Logits of any shape, or ``(M, 2)`` offsets (left, right) of segments.
            target: Same shape.
            weight: Per element, broadcastable; ``(M,)`` for segments.
            avg_factor: Divisor of the sum in place of the number of elements.

        Returns:
            A scalar, or the elements' losses for ``reduction='none'``; 0 with a gradient path
            where there is no element.
        """
        loss = self.elementwise(pred, target)
        return self.weighted(reduce_loss(loss, self.reduction, weight, avg_factor))

    def weighted(self, loss: Tensor) -> Tensor:
        """The reduced loss, times ``loss_weight``."""
        return self.loss_weight * loss
