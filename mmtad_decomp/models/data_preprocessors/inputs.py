"""Inputs of a detector: RGB, temporal gradient or ready features, made from a batch on the device.

Each module turns the stacked raw modality of a batch into the float input of a backbone. Its
``key`` names the raw modality, its ``channels`` are those of what it makes of frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class RGBInput(nn.Module):
    """Normalised RGB frames.

    Args:
        mean: Per channel, in pixel values.
        std: Per channel, in pixel values.
    """

    key = 'frames'
    channels = 3

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        shape = (1, 1, -1, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).float().view(shape), persistent=False)
        self.register_buffer('std', torch.tensor(std).float().view(shape), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, T, 3, H, W)`` uint8 to float32 of the same shape."""
        return (frames.float() - self.mean) / self.std


@MODELS.register_module()
class TemporalGradientInput(nn.Module):
    """Temporal gradient (TG): the difference of each frame to the one before it.

    Step ``t`` is ``x_t - x_{t-1}``, divided by ``std``; the first step repeats the second, so the
    length stays. Computed from the same augmented frames as the RGB input.

    Args:
        std: Scale of the differences, in pixel values.
    """

    key = 'frames'
    channels = 3

    def __init__(self, std: float = 20.0) -> None:
        super().__init__()
        self.std = std

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, T, 3, H, W)`` uint8 to float32 of the same shape."""
        if frames.shape[1] == 1:
            return torch.zeros_like(frames, dtype=torch.float32)
        frames = frames.float()
        gradient = (frames[:, 1:] - frames[:, :-1]) / self.std
        return torch.cat([gradient[:, :1], gradient], dim=1)


class _FeatureSequence(nn.Module):
    """Features extracted beforehand: which of those that the pipeline loaded, and which channels.

    Args:
        key: ``'features'``, or ``'motion_features'`` where the pipeline has loaded such too.
        channels: First channel and the one after the last that are read; None reads all.
    """

    time_dim = 1

    def __init__(self, key: str = 'features', channels: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.key = key
        self.slice = None if channels is None else tuple(channels)

    def select(self, features: Tensor) -> Tensor:
        """``(N, C, T)`` to ``(N, C', T)``.

        Raises:
            ValueError: If the features have fewer channels.
        """
        if self.slice is None:
            return features
        start, stop = self.slice
        if not 0 <= start < stop <= features.shape[1]:
            raise ValueError(
                f'{type(self).__name__}: the features have {features.shape[1]} channels, '
                f'`modality.channels` asks for {start} to {stop}'
            )
        return features[:, start:stop]


@MODELS.register_module()
class FeatureInput(_FeatureSequence):
    """Features extracted beforehand, as they are.

    Args:
        key: ``'features'``, or ``'motion_features'`` where the pipeline has loaded such too.
        channels: First channel and the one after the last that are read, such as ``(0, 200)`` for
            the RGB half of two-stream features; None reads all.
    """

    def forward(self, features: Tensor) -> Tensor:
        """``(N, C, T)`` float32 to the selected ``(N, C', T)``."""
        return self.select(features)


@MODELS.register_module()
class FeatureDifferenceInput(_FeatureSequence):
    """Difference of each feature step to the one before it; the first repeats the second.

    A stand-in for motion features where there are only features of RGB. Padding repeats the last
    step, so that its differences are zero.

    Args:
        key: See :class:`FeatureInput`.
        channels: See :class:`FeatureInput`.
        std: Scale of the differences.
    """

    repeat_last = True

    def __init__(
        self,
        key: str = 'features',
        channels: tuple[int, int] | None = None,
        std: float = 1.0,
    ) -> None:
        super().__init__(key, channels)
        self.std = std

    def forward(self, features: Tensor) -> Tensor:
        """``(N, C, T)`` float32 to ``(N, C', T)``."""
        features = self.select(features)
        if features.shape[2] == 1:
            return torch.zeros_like(features)
        difference = (features[:, :, 1:] - features[:, :, :-1]) / self.std
        return torch.cat([difference[:, :, :1], difference], dim=2)
