"""Parameters with equal options share a group; options and updates are MMEngine's."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmtad_decomp.models.layers import MaskedGroupNorm, MaskedLayerNorm

PARAMWISE = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys={'0': dict(lr_mult=0.1), '3': dict(lr_mult=0.1, decay_mult=0.5)},
)


def make_model():
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)]
    model = nn.Sequential(*layers)
    model[4].weight.requires_grad_(False)
    return model


def wrap(model, constructor, **optimizer):
    return build_optim_wrapper(
        model,
        dict(
            constructor=constructor,
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1, **optimizer),
            paramwise_cfg=PARAMWISE,
        ),
    )


def options(model, wrapper):
    """Learning rate and decay by the parameter's name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }


@pytest.mark.parametrize('fused', [False, True])
def test_same_options_and_updates_in_fewer_groups(fused):
    model = make_model()
    reference = copy.deepcopy(model)
    grouped = wrap(model, 'mmaction.GroupedOptimWrapperConstructor', fused=fused)
    default = wrap(reference, 'DefaultOptimWrapperConstructor')
    assert options(model, grouped) == options(reference, default)
    assert len(default.optimizer.param_groups) == 9
    assert len(grouped.optimizer.param_groups) == 4
    frozen = model[4].weight.clone()
    x = torch.randn(16, 4)
    for _ in range(5):
        for net, wrapper in ((model, grouped), (reference, default)):
            wrapper.update_params(net(x).square().mean())
    for (name, a), b in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=name)
    assert torch.equal(model[4].weight, frozen)


def test_without_options_there_is_one_group():
    wrapper = build_optim_wrapper(
        make_model(),
        dict(
            constructor='mmaction.GroupedOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-2),
        ),
    )
    assert len(wrapper.optimizer.param_groups) == 1


@pytest.mark.parametrize('norm', [MaskedLayerNorm(8), MaskedGroupNorm(2, 8)])
def test_masked_norms_are_norms_to_it(norm):
    wrapper = wrap(nn.ModuleDict(dict(norm=norm)), 'mmaction.GroupedOptimWrapperConstructor')
    assert [group['weight_decay'] for group in wrapper.optimizer.param_groups] == [0.0]
