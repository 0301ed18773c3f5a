"""Backbone and hooks of the trainings that distributed.py and compiled.py compare."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner import Runner
from torch._dynamo.utils import counters


@MODELS.register_module()
class PlainFrameNet(BaseModule):
    """A convolution without BatchNorm: the smallest backbone of frames."""

    def __init__(self, feat_dim: int = 8) -> None:
        super().__init__()
        self.feat_dim = feat_dim
        self.conv = torch.nn.Conv2d(3, feat_dim, 3, stride=2)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``(N, 3, H, W)`` frames to ``(N, feat_dim, H', W')``."""
        return torch.relu(self.conv(frames))


class LossRecorder(Hook):
    """Notes the loss of every step, averaged over processes."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object, outputs: dict
    ) -> None:
        loss = outputs['loss'].detach().clone()
        all_reduce(loss, 'mean')
        self.values.append(float(loss))


class GraphCounter(Hook):
    """Notes how many graphs ``torch.compile`` has compiled after every step."""

    def __init__(self) -> None:
        self.by_step: list[int] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object, outputs: dict
    ) -> None:
        self.by_step.append(counters['stats']['unique_graphs'])
