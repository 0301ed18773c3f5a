"""BFloat16OptimWrapper: bfloat16 in the forward pass, float32 in all that is kept."""

import copy
import itertools

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from mmtad_decomp.engine.optim_wrappers import BFloat16OptimWrapper


class Regressor(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Linear(32, 1))
        self.dtypes = []

    def forward(self, x, mode='tensor'):
        hidden = self.layers(x)
        self.dtypes.append(hidden.dtype)
        return dict(loss=(hidden.float() - 1).square().mean())


def batches(count):
    return [
        dict(x=x) for x in torch.randn(count, 6, 8, generator=torch.Generator().manual_seed(1))
    ]


def wrapper(model, **kwargs):
    return BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05), **kwargs)


def test_is_registered():
    assert OPTIM_WRAPPERS.get('BFloat16OptimWrapper') is BFloat16OptimWrapper


def test_forward_is_bfloat16_and_everything_kept_is_float32():
    model = Regressor()
    optim = wrapper(model)
    before = copy.deepcopy(model.state_dict())
    log = model.train_step(batches(1)[0], optim)
    assert model.dtypes == [torch.bfloat16]
    assert log['loss'].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert any(not torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not torch.is_autocast_enabled('cpu')


def test_training_stays_close_to_float32():
    losses = []
    for kind in (OptimWrapper, BFloat16OptimWrapper):
        model = Regressor()
        optim = kind(torch.optim.SGD(model.parameters(), lr=0.05))
        losses.append([model.train_step(batch, optim)['loss'].item() for batch in batches(10)])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_gradients_accumulate():
    model = Regressor()
    optim = wrapper(model, accumulative_counts=2)
    optim.initialize_count_status(model, 0, 4)
    weight = model.layers[0].weight
    states = [weight.detach().clone()]
    for batch in batches(4):
        model.train_step(batch, optim)
        states.append(weight.detach().clone())
    changed = [not torch.equal(a, b) for a, b in itertools.pairwise(states)]
    assert changed == [False, True, False, True]


def test_clips_gradients():
    model = Regressor()
    optim = wrapper(model, clip_grad=dict(max_norm=1e-3))
    before = [p.detach().clone() for p in model.parameters()]
    model.train_step(batches(1)[0], optim)
    moved = sum((a - b).square().sum() for a, b in zip(before, model.parameters())).sqrt()
    assert 0 < moved <= 0.05 * 1e-3 * 1.01
