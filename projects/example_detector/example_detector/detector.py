"""The detector: is something going on at this step?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT
from mmengine.registry import Registry
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

MODELS = Registry('model', parent=ROOT, scope='example_detector')


@MODELS.register_module()
class ActionnessNet(BaseModel):
    """Two convolutions over time and a score for each step.

    Args:
        in_channels: Channels of the features.
        width: Channels of the hidden layer.
    """

    def __init__(
        self, in_channels: int, width: int = 32, data_preprocessor: dict | None = None
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.encoder = nn.Sequential(nn.Conv1d(in_channels, width, 3, padding=1), nn.ReLU())
        self.scores = nn.Conv1d(width, 1, 3, padding=1)

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
        masks: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """Run the detector.

        Args:
            inputs: ``(N, C, T)``, or N features ``(C, T)``.
            data_samples: With ``actionness`` ``(T,)``, needed for losses.
            mode: ``'tensor'`` returns logits ``(N, T)``, ``'loss'`` a dict, ``'predict'`` the
                samples with ``scores`` ``(T,)``.
            masks: Unused; every sequence has the same length.
        """
        feats = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        logits = self.scores(self.encoder(feats))[:, 0]
        if mode == 'loss':
            targets = torch.stack([sample.actionness for sample in data_samples])
            return dict(loss_actionness=F.binary_cross_entropy_with_logits(logits, targets))
        if mode == 'predict':
            for sample, row in zip(data_samples, logits.sigmoid()):
                sample.scores = row
            return data_samples
        return logits
