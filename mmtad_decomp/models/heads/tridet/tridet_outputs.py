"""Raw outputs of TriDet."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmtad_decomp.structures import Distances, PointOutputs, Scores, Signal


class TriDetOutputs(NamedTuple):
    """Class scores and boundaries of each class at the points of a pyramid; one entry per level.

    Attributes:
        cls_logits: ``(N, K, T_l)``.
        offsets: ``(N, K, 2, T_l)`` non-negative distances to start and end, in strides of the
            level.
        masks: ``(N, T_l)`` bool, True = valid.
    """

    cls_logits: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    def signals(self) -> list[Signal]:
        """Signals that tell whether a head still learns."""
        return [
            Scores('class score', [x.sigmoid() for x in self.cls_logits], self.masks),
            Distances('left offset', [x[:, :, 0] for x in self.offsets], self.masks),
            Distances('right offset', [x[:, :, 1] for x in self.offsets], self.masks),
        ]

    def of_classes(self, labels: tuple[Tensor, ...]) -> PointOutputs:
        """The outputs with the boundaries of one class for each point.

        Args:
            labels: ``(N, T_l)`` int64 per level.
        """
        # (N, T) -> (N, 1, 2, T), the class to take for both sides.
        picked = tuple(
            offsets.gather(1, label[:, None, None].expand(-1, 1, 2, -1)).squeeze(1)
            for offsets, label in zip(self.offsets, labels)
        )
        return PointOutputs(self.cls_logits, picked, self.masks)
