"""One 1-D convolutional projection of a feature sequence."""

from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import MaskedConv1d, MaskedLayerNorm


@MODELS.register_module()
class TemporalProjection(BaseModule):
    """Convolution, layer norm and ReLU over time.

    Args:
        in_channels: Channels of the features.
        out_channels: Width D of the projection.
        kernel_size: Odd kernel size over time.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.conv = MaskedConv1d(in_channels, out_channels, kernel_size)
        self.norm = MaskedLayerNorm(out_channels)
        self.act = nn.ReLU()

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(N, T)`` to ``(N, D, T)``, zero at masked steps.

        Raises:
            ValueError: If the features have another width; names the options to change.
        """
        if feats.shape[1] != self.in_channels:
            raise ValueError(
                f'the features have {feats.shape[1]} channels, `neck.in_channels` is '
                f'{self.in_channels}: change one of them, or select channels with '
                '`data_preprocessor.modality.channels`'
            )
        return self.act(self.norm(self.conv(feats, masks), masks))
