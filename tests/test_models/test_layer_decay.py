"""Layer-wise learning rates by MMEngine's ``paramwise_cfg``, for every backbone."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmtad_decomp  # noqa: F401

DECAY = 0.5
TSM = dict(type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False, norm_eval=False)


class Detector(nn.Module):
    """As much of a detector as the names of its parameters need."""

    def __init__(self, backbone, **kwargs):
        super().__init__()
        self.backbone = MODELS.build(dict(type='VideoEncoder', backbone=backbone, **kwargs))
        self.head = nn.Linear(2, 2)


def multipliers(model, custom_keys):
    """Learning rate of every trained parameter, over the base's."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.1),
            paramwise_cfg=dict(custom_keys=custom_keys),
        ),
    )
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: group['lr'] / 2e-3
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize(
    ('backbone', 'names'),
    [
        (TSM, ('conv1', 'layer1', 'layer2', 'layer3', 'layer4')),
        (dict(type='InceptionI3D'), ('stem', 'stage1', 'stage2', 'stage3', 'stage4')),
        (
            dict(type='FusedSlowFast', depth=18),
            ('path.conv1', 'path.layer1', 'path.layer2', 'path.layer3', 'path.layer4'),
        ),
    ],
    ids=('tsm', 'i3d', 'slowfast'),
)
def test_every_stage_gets_its_rate(backbone, names):
    """The keys of the guide: ``backbone.backbone.layer4`` and so on, TSM's being the shortest."""
    model = Detector(backbone)
    start = '' if names[0].startswith('path') else 'backbone.backbone.'
    custom_keys = {
        start + name: dict(lr_mult=0.1 * DECAY ** (4 - i)) for i, name in enumerate(names)
    }
    rates = multipliers(model, custom_keys)
    assert rates['head.weight'] == pytest.approx(1)
    for index, stage in enumerate(stages_by_parameters(model.backbone.backbone)):
        for parameter in stage:
            name = next(n for n, p in model.named_parameters() if p is parameter)
            assert rates[name] == pytest.approx(0.1 * DECAY ** (4 - index)), name
    assert len(rates) == len(list(model.parameters()))


def stages_by_parameters(backbone):
    if hasattr(backbone, 'stages'):
        stages = backbone.stages()
    else:
        stages = [[backbone.conv1]] + [[getattr(backbone, f'layer{i}')] for i in range(1, 5)]
    return [[p for module in stage for p in module.parameters()] for stage in stages]


def test_frozen_weights_are_not_optimised():
    model = Detector(TSM, frozen_stages=1, freeze_norm=True)
    rates = multipliers(model, {'backbone': dict(lr_mult=0.05)})
    assert not any('conv1.conv' in name and 'layer' not in name for name in rates)
    assert not any('layer1' in name or '.bn.' in name for name in rates)
    assert rates['backbone.backbone.layer2.0.conv1.conv.net.weight'] == pytest.approx(0.05)
    assert isinstance(model.head.weight, torch.nn.Parameter) and rates['head.bias'] == 1
