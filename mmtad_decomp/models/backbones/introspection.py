"""Properties of a backbone that an encoder needs: stem, stages and time geometry."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from mmaction.models.backbones.resnet3d import ResNet3d
from torch import nn


class TimeGeometry(NamedTuple):
    """How a backbone's output steps lie among its input steps.

    Output step ``j`` is centred on input step ``offset + j * stride``.

    Attributes:
        stride: Input steps between neighbouring output steps.
        offset: Input steps from the centre of input step 0 to the centre of output step 0.
        multiple: The length of the input has to be a multiple of this.
    """

    stride: int
    offset: float
    multiple: int


def stem_convs(backbone: nn.Module) -> list[nn.Conv2d | nn.Conv3d]:
    """The convolutions that read the input.

    A backbone that reads its input in several places (SlowFast) names them by a method
    ``stem_convs()``; any other has one, its first.
    """
    if hasattr(backbone, 'stem_convs'):
        return backbone.stem_convs()
    convs = (m for m in backbone.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    return [conv for conv in [next(convs, None)] if conv is not None]


def is_3d(backbone: nn.Module) -> bool:
    """Whether a backbone reads clips ``(N, C, T, H, W)``, not frames ``(N, C, H, W)``."""
    return any(isinstance(conv, nn.Conv3d) for conv in stem_convs(backbone))


def backbone_stages(backbone: nn.Module) -> list[list[nn.Module]]:
    """Modules by stage, the stem being stage 0.

    They come from the backbone's method ``stages()``, or are ``conv1``, ``layer1``, ``layer2``,
    ... as in MMAction2's residual networks.

    Raises:
        ValueError: If the backbone has neither.
    """
    if hasattr(backbone, 'stages'):
        return backbone.stages()
    if not hasattr(backbone, 'conv1') or not hasattr(backbone, 'layer1'):
        raise ValueError(
            f'{type(backbone).__name__} does not say what its stages are, so none can be frozen: '
            'set `backbone.frozen_stages=-1`, or give its class a method `stages()` that returns '
            'a list of lists of modules, the stem first'
        )
    layers = [name for name in (f'layer{i}' for i in range(1, 9)) if hasattr(backbone, name)]
    return [[backbone.conv1], *([getattr(backbone, name)] for name in layers)]


def _geometry_of_resnet3d(backbone: ResNet3d) -> TimeGeometry:
    """Kernels are odd and centred, but for ``pool2``, which pools pairs after the first stage."""
    stride = backbone.conv1_stride_t
    if backbone.with_pool1:
        stride *= backbone.pool1_stride_t
    stride *= backbone.temporal_strides[0]
    offset = 0.0
    if backbone.with_pool2:
        offset = stride / 2
        stride *= 2
    stride *= prod(backbone.temporal_strides[1:])
    return TimeGeometry(stride, offset, stride)


def time_geometry(backbone: nn.Module) -> TimeGeometry:
    """Where a backbone's steps lie.

    A 2-D backbone has a step for every frame. A 3-D one says it by its attributes
    ``temporal_stride``, ``temporal_offset`` and, where the length must be a multiple of more than
    the stride, ``temporal_multiple``; of MMAction2's ResNet3d it is computed.

    Raises:
        ValueError: If a 3-D backbone does not say it.
    """
    if hasattr(backbone, 'temporal_stride') and hasattr(backbone, 'temporal_offset'):
        stride = backbone.temporal_stride
        return TimeGeometry(
            stride, backbone.temporal_offset, getattr(backbone, 'temporal_multiple', stride)
        )
    if not is_3d(backbone):
        return TimeGeometry(1, 0.0, 1)
    if isinstance(backbone, ResNet3d) and type(backbone).forward is ResNet3d.forward:
        return _geometry_of_resnet3d(backbone)
    name = type(backbone).__name__
    fix = (
        'use FusedSlowFast, which brings both paths to one time axis'
        if name == 'ResNet3dSlowFast'
        else 'give its class the attributes `temporal_stride` and `temporal_offset` '
        '(docs/en/user_guides/backbones.md)'
    )
    raise ValueError(f'backbone {name} does not say where its steps lie in time: {fix}')
