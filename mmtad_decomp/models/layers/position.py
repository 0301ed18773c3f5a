"""Absolute position embedding."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoidal_positions(steps: int, channels: int) -> Tensor:
    """Sine and cosine waves of falling frequency (Vaswani et al., 2017).

    Channels 2c and 2c + 1 hold the sine and the cosine of ``t / 10000 ** (2c / channels)``.

    Returns:
        ``(channels, steps)`` float32.
    """
    rate = 10000.0 ** (-2 * (torch.arange(channels, dtype=torch.float64) // 2) / channels)
    angle = rate[:, None] * torch.arange(steps, dtype=torch.float64)
    waves = torch.where(
        torch.arange(channels)[:, None] % 2 == 0, torch.sin(angle), torch.cos(angle)
    )
    return waves.float()
