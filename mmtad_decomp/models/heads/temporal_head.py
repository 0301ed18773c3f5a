"""What every detection head offers to detectors and distillers."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor


class TemporalHead(BaseModule, metaclass=ABCMeta):
    """A head reads features over time and knows nothing of seconds, videos or NMS.

    Segments go in and come out in feature steps: step g is where ``feats[:, :, g]`` lies.

    Attributes:
        in_channels: D, the width of the features that it reads.
    """

    in_channels: int

    def check_channels(self, feats: Tensor) -> None:
        """Require ``(N, D, T)`` features.

        Raises:
            ValueError: If they have another width; names the option to change.
        """
        if feats.ndim != 3 or feats.shape[1] != self.in_channels:
            raise ValueError(
                f'expected features (N, {self.in_channels}, T), got {tuple(feats.shape)}; set '
                "the head's in_channels to the width of what it reads"
            )

    @abstractmethod
    def forward(self, feats: Tensor, masks: Tensor) -> Any:
        """Compute raw outputs from ``(N, D, T)`` features and ``(N, T)`` bool masks."""

    @abstractmethod
    def loss_by_feat(self, outputs: Any, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Compute losses.

        Args:
            outputs: What :meth:`forward` returned.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            Scalars by name.
        """

    @abstractmethod
    def predict_by_feat(self, outputs: Any) -> list[InstanceData]:
        """Turn raw outputs into candidates, without NMS.

        Args:
            outputs: What :meth:`forward` returned.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,).
        """
