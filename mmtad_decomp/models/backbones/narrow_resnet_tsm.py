"""ResNetTSM with fewer channels and a stem for small frames."""

from __future__ import annotations

from mmaction.models.backbones.resnet import make_res_layer
from mmaction.models.backbones.resnet_tsm import ResNetTSM
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import nn


@MODELS.register_module()
class NarrowResNetTSM(ResNetTSM):
    """MMAction2's ResNetTSM for small frames and short trainings from scratch.

    It has the blocks and the temporal shift of ``ResNetTSM``. It differs in its width and in its
    stem: one 3x3 convolution without max pooling in place of ImageNet's 7x7 with pooling, as
    ResNets have for small images (He et al., CVPR 2016, section 4.2).

    Args:
        depth: As in ``ResNetTSM``: 18, 34, 50, ...
        base_channels: Channels of the stem and of the first stage; ``ResNetTSM`` has 64.
        stem_stride: Spatial stride of the stem.
        **kwargs: Further options of ``ResNetTSM``. ``pretrained2d`` and ``pretrained`` have no
            meaning for this width and must stay off.

    Raises:
        ValueError: If ``base_channels`` is smaller than ``shift_div`` (no channel would be
            shifted), or pretrained weights are asked for.
    """

    def __init__(
        self, depth: int, base_channels: int = 16, stem_stride: int = 2, **kwargs
    ) -> None:
        kwargs.setdefault('pretrained2d', False)
        if kwargs['pretrained2d'] or kwargs.get('pretrained'):
            raise ValueError(
                'NarrowResNetTSM has no pretrained weights of its width: set `pretrained2d=False` '
                'and `pretrained=None`, or use ResNetTSM'
            )
        self.base_channels = base_channels
        self.stem_stride = stem_stride
        super().__init__(depth, **kwargs)

    def init_structure(self) -> None:
        """Replace stem and stages by narrow ones, then install the temporal shift."""
        if self.base_channels < self.shift_div:
            raise ValueError(
                f'NarrowResNetTSM: base_channels={self.base_channels} is smaller than '
                f'shift_div={self.shift_div}, so that no channel would be shifted'
            )
        conv = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.conv1 = ConvModule(
            self.in_channels,
            self.base_channels,
            kernel_size=3,
            stride=self.stem_stride,
            padding=1,
            bias=False,
            **conv,
        )
        self.maxpool = nn.Identity()
        channels = self.base_channels
        for i, (name, blocks) in enumerate(zip(self.res_layers, self.stage_blocks)):
            planes = self.base_channels * 2**i
            layer = make_res_layer(
                self.block,
                channels,
                planes,
                blocks,
                stride=self.strides[i],
                dilation=self.dilations[i],
                style=self.style,
                with_cp=self.with_cp,
                **conv,
            )
            setattr(self, name, layer)
            channels = planes * self.block.expansion
        self.feat_dim = channels
        super().init_structure()
