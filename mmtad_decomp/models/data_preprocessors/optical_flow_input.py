"""Optical flow as a detector's input."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class OpticalFlowInput(nn.Module):
    """Optical flow (OF), extracted beforehand and loaded beside the frames or in their place.

    Step ``t`` is the motion from frame ``t - 1`` to frame ``t``, as in
    :class:`TemporalGradientInput`; see :class:`~mmtad_decomp.datasets.transforms.LoadOpticalFlow`.
    In padding nothing moves.

    Args:
        std: Scale of the displacements, in pixels. A teacher and the distiller that uses it need
            the same.
    """

    key = 'flow'
    channels = 2
    repeat_last = False

    def __init__(self, std: float = 1.0) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f'std must be above 0 pixels, got {std}')
        self.std = std

    def forward(self, flow: Tensor) -> Tensor:
        """``(N, T, 2, H, W)`` pixels in x and y to float32 of the same shape."""
        return flow.float() / self.std
