"""I3D: Inception-v1 inflated to three dimensions (Carreira & Zisserman, CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.utils import _triple
from torch.utils.checkpoint import checkpoint

# Channels of each block: 1x1x1 branch; reduction and 3x3x3 of two branches; after the pool.
_STAGE_2 = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
_STAGE_3 = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)
_STAGE_4 = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))
_TEMPORAL_KERNELS = (7, 3, 2)
"""Kernels of the three layers with a temporal stride: first convolution, third and fourth pool."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's 'SAME' padding of an axis: the odd one out comes at the end.

    Args:
        size: Length of the axis.
        kernel: Kernel size.
        stride: Stride.

    Returns:
        Padding in front and behind; the output has ``ceil(size / stride)`` steps.
    """
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2


def _pad_same(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    """Pad where both ends differ; where they agree, leave it to the layer (second value)."""
    pads = [same_padding(*axis) for axis in zip(x.shape[2:], kernel, stride)]
    if all(front == behind for front, behind in pads):
        return x, tuple(front for front, _ in pads)
    flat = [side for pad in reversed(pads) for side in pad]
    return F.pad(x, flat), (0,) * len(pads)


class SameConv3d(nn.Conv3d):
    """``nn.Conv3d`` without bias and with 'SAME' padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, C', ceil(T / s), ...)``."""
        x, padding = _pad_same(x, self.kernel_size, self.stride)
        return F.conv3d(x, self.weight, None, self.stride, padding)


class SameMaxPool3d(nn.MaxPool3d):
    """``nn.MaxPool3d`` with 'SAME' padding, of input that is nowhere negative.

    Where both ends are padded alike the padding is minus infinity, else it is 0: after a ReLU
    that makes no difference.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, C, ceil(T / s), ...)``."""
        kernel, stride = _triple(self.kernel_size), _triple(self.stride)
        x, padding = _pad_same(x, kernel, stride)
        return F.max_pool3d(x, kernel, stride, padding)


class ConvUnit(nn.Module):
    """Convolution, BatchNorm, ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Kernel size.
        stride: Stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int | tuple[int, int, int] = 1,
    ) -> None:
        super().__init__()
        self.conv = SameConv3d(in_channels, out_channels, kernel_size, stride)
        self.bn = nn.BatchNorm3d(out_channels, eps=0.001, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, C', T', H', W')``."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionBlock(nn.Module):
    """Four branches side by side: 1x1x1, twice 1x1x1 then 3x3x3, and pool then 1x1x1.

    Args:
        in_channels: Channels of the input.
        widths: Channels of the first branch; of the reduction and of the output of the second
            and of the third; of the fourth.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        plain, reduced1, wide1, reduced2, wide2, pooled = widths
        self.branch0 = ConvUnit(in_channels, plain, 1)
        self.branch1 = nn.Sequential(
            ConvUnit(in_channels, reduced1, 1), ConvUnit(reduced1, wide1, 3)
        )
        self.branch2 = nn.Sequential(
            ConvUnit(in_channels, reduced2, 1), ConvUnit(reduced2, wide2, 3)
        )
        self.branch3 = nn.Sequential(SameMaxPool3d(3, stride=1), ConvUnit(in_channels, pooled, 1))
        self.out_channels = plain + wide1 + wide2 + pooled

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, C', T, H, W)``."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x) for branch in branches], dim=1)


def _blocks(in_channels: int, widths: Sequence[Sequence[int]]) -> list[InceptionBlock]:
    blocks = []
    for block_widths in widths:
        blocks.append(InceptionBlock(in_channels, block_widths))
        in_channels = blocks[-1].out_channels
    return blocks


@MODELS.register_module()
class InceptionI3D(BaseModule):
    """The backbone of I3D up to its last Inception block: 1024 channels, stride 8 in time.

    Sizes and 'SAME' paddings are those of the original and of its widely used PyTorch port;
    ``tools/model_converters/i3d.py`` renames that port's weights. Time: a 'SAME' padding that
    cannot be even has its odd step at the end, so a strided layer looks further ahead than
    back. Composed over the layers, output step ``j`` is centred on input step ``8 j + 5`` (a
    mean of 8 frames would be at ``8 j + 3.5``); ``temporal_offset`` says so.

    Args:
        in_channels: 3 for RGB, 2 for optical flow.
        temporal_strides: Strides in time of the first convolution, the third pool and the fourth
            pool. ``(2, 2, 1)`` gives stride 4 with the same weights.
        with_cp: Recompute each Inception block in the backward pass instead of keeping its
            activations. BatchNorm's running statistics are then updated twice, which does not
            matter where norms are frozen.
        init_cfg: Default: Kaiming's initialisation of the convolutions.

    Raises:
        ValueError: If the strides are not three.
    """

    feat_dim = 1024

    def __init__(
        self,
        in_channels: int = 3,
        temporal_strides: Sequence[int] = (2, 2, 2),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv3d'),
                dict(type='Constant', val=1, layer='BatchNorm3d'),
            ]
        super().__init__(init_cfg=init_cfg)
        if len(temporal_strides) != 3:
            raise ValueError(
                'InceptionI3D: temporal_strides are three, of the first convolution and of the '
                f'last two pools, got {tuple(temporal_strides)}'
            )
        first, third, fourth = temporal_strides
        self.with_cp = with_cp
        self.temporal_stride = first * third * fourth
        self.temporal_offset = _centre_of_step_0(temporal_strides)
        self.stem = ConvUnit(in_channels, 64, 7, stride=(first, 2, 2))
        self.stage1 = nn.Sequential(
            SameMaxPool3d((1, 3, 3), (1, 2, 2)), ConvUnit(64, 64, 1), ConvUnit(64, 192, 3)
        )
        self.stage2 = nn.Sequential(SameMaxPool3d((1, 3, 3), (1, 2, 2)), *_blocks(192, _STAGE_2))
        self.stage3 = nn.Sequential(SameMaxPool3d(3, (third, 2, 2)), *_blocks(480, _STAGE_3))
        self.stage4 = nn.Sequential(SameMaxPool3d(2, (fourth, 2, 2)), *_blocks(832, _STAGE_4))

    def stages(self) -> list[list[nn.Module]]:
        """Modules by stage, the stem first."""
        return [[self.stem], [self.stage1], [self.stage2], [self.stage3], [self.stage4]]

    def forward(self, clips: Tensor) -> Tensor:
        """``(N, C, T, H, W)`` to ``(N, 1024, T / 8, H / 32, W / 32)``, rounded up."""
        x = self.stem(clips)
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            for layer in stage:
                x = checkpoint(layer, x, use_reentrant=False) if recompute else layer(x)
        return x


def _centre_of_step_0(temporal_strides: Sequence[int]) -> float:
    """Input steps from step 0 to the centre of what output step 0 is computed from.

    A layer's output step 0 is centred ``(kernel - 1) / 2`` steps behind the front of its padding;
    layers with stride 1 and odd kernels are centred on themselves.
    """
    centre, scale = 0.0, 1
    for kernel, stride in zip(_TEMPORAL_KERNELS, temporal_strides):
        front, _ = same_padding(stride, kernel, stride)
        centre += scale * ((kernel - 1) / 2 - front)
        scale *= stride
    return centre
