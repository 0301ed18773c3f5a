"""Convolutions with their BatchNorm folded in give what both gave one after the other."""

import pytest
import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import nn

from mmtad_decomp.models.layers import SmallMapConv2d, fold_batch_norms


def settle(model: nn.Module) -> nn.Module:
    """Statistics and affine weights as after a training."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            for vector in (module.running_mean, module.weight, module.bias):
                nn.init.normal_(vector)
    return model.eval()


def encoder(**backbone) -> nn.Module:
    return settle(MODELS.build(dict(type='VideoEncoder', backbone=backbone)))


TSM = dict(type='NarrowResNetTSM', depth=18, base_channels=8, shift_div=8, shift_place='blockres')
SMALL = dict(TSM, conv_cfg=dict(type='mmaction.SmallMapConv2d'))
FULL = dict(type='ResNetTSM', depth=50, shift_div=8, pretrained=None, pretrained2d=False)


@pytest.mark.parametrize(('backbone', 'count'), [(TSM, 20), (SMALL, 20), (FULL, 53)])
@pytest.mark.parametrize('channels_last', [False, True])
def test_an_encoder_gives_the_same(backbone, count, channels_last):
    model = encoder(**backbone)
    frames, masks = torch.randn(1, 4, 3, 32, 48), torch.ones(1, 4, dtype=torch.bool)
    with torch.no_grad():
        before = model(frames, masks)[0]
        assert fold_batch_norms(model) == count
        if channels_last:
            model.use_channels_last()
        after = model(frames, masks)[0]
    kept = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert not kept
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    kinds = {type(m) for m in model.modules()}
    assert TemporalShift in kinds
    assert (SmallMapConv2d in kinds) == (backbone is SMALL)


def test_the_formula():
    block = settle(ConvModule(2, 3, 1, norm_cfg=dict(type='BN'), act_cfg=None)).double()
    norm, weight = block.norm, block.conv.weight.clone()
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    fold_batch_norms(block)
    torch.testing.assert_close(block.conv.weight, weight * scale[:, None, None, None])
    torch.testing.assert_close(block.conv.bias, norm.bias - norm.running_mean * scale)


@pytest.mark.parametrize(
    'settings',
    [
        dict(norm_cfg=dict(type='GN', num_groups=1)),
        dict(norm_cfg=dict(type='BN'), order=('conv', 'act', 'norm')),
        dict(norm_cfg=dict(type='BN'), with_spectral_norm=True),
        dict(norm_cfg=None),
    ],
)
def test_other_blocks_stay(settings):
    block = ConvModule(2, 4, 1, **settings).eval()
    before = [type(module) for module in block.modules()]
    assert fold_batch_norms(block) == 0
    assert [type(module) for module in block.modules()] == before


def test_training_blocks_stay():
    assert fold_batch_norms(ConvModule(2, 4, 1, norm_cfg=dict(type='BN')).train()) == 0
