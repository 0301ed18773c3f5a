"""Data: generated sequences of two streams, of which the second shows the actions better."""

from __future__ import annotations

import torch
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset


@DATASETS.register_module()
class GeneratedSteps(Dataset):
    """Sequences with one action each.

    Args:
        size: Number of sequences.
        steps: Steps of a sequence.
        channels: Channels of each stream.
        seed: Other seeds give other sequences of the same kind.
    """

    def __init__(self, size: int, steps: int = 32, channels: int = 16, seed: int = 0) -> None:
        self.size, self.steps, self.channels, self.seed = size, steps, channels, seed
        self.pattern = torch.randn(2, channels, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        """``inputs``: both streams ``(C, T)``; ``data_samples``: ``actionness`` ``(T,)``."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        rng = torch.Generator().manual_seed(self.seed * 100_003 + index)
        length = int(torch.randint(self.steps // 4, self.steps // 2, (), generator=rng))
        start = int(torch.randint(0, self.steps - length, (), generator=rng))
        actionness = torch.zeros(self.steps)
        actionness[start : start + length] = 1.0
        noise = torch.randn(2, self.channels, self.steps, generator=rng)
        scale = torch.tensor([0.3, 0.8])[:, None, None]
        rgb, flow = noise + scale * self.pattern[:, :, None] * actionness
        return dict(
            inputs=dict(features=rgb, motion_features=flow),
            data_samples=BaseDataElement(actionness=actionness),
        )
