"""Convolutions that do their batch normalisation's work."""

from __future__ import annotations

from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(model: nn.Module) -> int:
    """Put BatchNorms into the convolutions before them, for inference.

    In eval mode a BatchNorm multiplies and shifts each channel by constants, which a convolution
    can do at no cost: ``w' = w * gamma / sqrt(var + eps)``, ``b' = beta + (b - mean) * gamma /
    sqrt(var + eps)``. Results are equal up to rounding. The model cannot be trained any more, and
    its state no longer fits its config.

    Args:
        model: Changed in place: every ``ConvModule`` in eval mode that normalises right after its
            convolution, also one behind a temporal shift.

    Returns:
        Number of BatchNorms that are gone.
    """
    folded = 0
    for block in model.modules():
        if not isinstance(block, ConvModule) or not _folds(block):
            continue
        # a temporal shift wraps the convolution that it comes before
        shifted = isinstance(block.conv, TemporalShift)
        holder, name = (block.conv, 'net') if shifted else (block, 'conv')
        setattr(holder, name, fuse_conv_bn_eval(getattr(holder, name), block.norm))
        setattr(block, block.norm_name, nn.Identity())
        folded += 1
    return folded


def _folds(block: ConvModule) -> bool:
    order = ''.join(block.order)
    return (
        block.with_norm
        and isinstance(block.norm, _BatchNorm)
        and not block.norm.training
        and not block.with_spectral_norm
        and 'convnorm' in order
    )
