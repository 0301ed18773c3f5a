"""AutocastOptimWrapper: a 16-bit forward pass where asked for, float32 in all that is kept."""

import copy
import itertools
import logging

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from mmtad_decomp.engine.optim_wrappers import AutocastOptimWrapper
from mmtad_decomp.utils import hardware


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


def wrapper(model, dtype='bfloat16', **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    return AutocastOptimWrapper(optimizer=optimizer, dtype=dtype, **kwargs)


def test_is_registered():
    assert OPTIM_WRAPPERS.get('AutocastOptimWrapper') is AutocastOptimWrapper


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
@pytest.mark.parametrize('auto', [True, False])
def test_only_the_forward_pass_is_16_bit(dtype, auto, monkeypatch):
    wanted = str(dtype).removeprefix('torch.')
    if auto:
        monkeypatch.setattr(hardware, 'fast_dtype', lambda device: (dtype, 'of the test'))
        wanted = 'auto'
    model = Regressor()
    optim = wrapper(model, wanted)
    before = copy.deepcopy(model.state_dict())
    log = model.train_step(batches(1)[0], optim)
    assert model.dtypes == [dtype]
    assert log['loss'].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert any(not torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not torch.is_autocast_enabled('cpu')
    assert not optim.loss_scaler.is_enabled()


def test_float32_is_the_plain_wrapper():
    states = []
    for kind in (OptimWrapper, wrapper):
        model = Regressor()
        if kind is OptimWrapper:
            optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
        else:
            optim = wrapper(model, 'float32')
        for batch in batches(3):
            model.train_step(batch, optim)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_training_in_bfloat16_stays_close_to_float32():
    losses = []
    for dtype in ('float32', 'bfloat16'):
        model = Regressor()
        optim = wrapper(model, dtype)
        losses.append([model.train_step(batch, optim)['loss'].item() for batch in batches(10)])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


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


def with_scaler(monkeypatch, **kwargs):
    """A wrapper in float16, which scales the loss on the CPU as it would on a GPU."""
    precision = hardware.Precision(torch.float16, 'cpu', 'of the test')
    module = 'mmtad_decomp.engine.optim_wrappers.autocast_optim_wrapper'
    monkeypatch.setattr(f'{module}.choose_precision', lambda wanted, device: precision)
    model = Regressor()
    return model, wrapper(model, 'auto', **kwargs)


@pytest.mark.parametrize('scale', [1024, 1024.0, dict(init_scale=1024.0)])
def test_float16_scales_the_loss(scale, monkeypatch):
    model, optim = with_scaler(monkeypatch, loss_scale=scale)
    assert optim.loss_scaler.is_enabled() and optim.loss_scaler.get_scale() == 1024
    scaled = []
    model.layers[1].bias.register_post_accumulate_grad_hook(lambda p: scaled.append(p.grad.item()))
    losses = [model.train_step(batch, optim)['loss'].item() for batch in batches(10)]
    assert model.dtypes == [torch.float16] * 10
    plain = Regressor()
    optim = OptimWrapper(torch.optim.SGD(plain.parameters(), lr=0.05))
    grads = []
    plain.layers[1].bias.register_post_accumulate_grad_hook(lambda p: grads.append(p.grad.item()))
    wanted = [plain.train_step(batch, optim)['loss'].item() for batch in batches(10)]
    assert losses == pytest.approx(wanted, rel=0.05)
    assert scaled == pytest.approx([1024 * grad for grad in grads], rel=0.1)


def test_a_step_that_overflows_is_left_out(monkeypatch):
    model, optim = with_scaler(monkeypatch)
    assert optim.loss_scaler.get_scale() == 65536
    before = copy.deepcopy(model.state_dict())
    model.train_step(dict(x=torch.full((6, 8), float('inf'))), optim)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert optim.loss_scaler.get_scale() < 65536


def test_checkpoints_pass_between_precisions(monkeypatch):
    plain = wrapper(Regressor(), 'bfloat16')
    with monkeypatch.context() as patch:
        _, scaled = with_scaler(patch, loss_scale=dict(init_scale=512.0))
        _, other = with_scaler(patch)
    other.load_state_dict(plain.state_dict())
    assert other.loss_scaler.get_scale() == 65536
    other.load_state_dict(scaled.state_dict())
    assert other.loss_scaler.get_scale() == 512
    plain.load_state_dict(scaled.state_dict())
    assert not plain.loss_scaler.is_enabled()


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"dtype='half' is unknown; set one of auto, bfloat16"):
        wrapper(Regressor(), 'half')
    with pytest.raises(ValueError, match=r"loss_scale='static': set 'dynamic'"):
        wrapper(Regressor(), 'float32', loss_scale='static')


def test_the_decision_is_logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        hardware, 'print_log', lambda text, logger, level: lines.append((text, level))
    )
    monkeypatch.setattr(hardware, 'native_bfloat16', lambda: None)
    monkeypatch.setattr(hardware, 'processor_name', lambda: 'Some CPU')
    wrapper(Regressor(), 'auto')
    wrapper(Regressor(), 'bfloat16')
    (auto, info), (explicit, warning) = lines
    assert (info, warning) == (logging.INFO, logging.WARNING)
    assert auto.startswith('training in float32: auto, Some CPU would emulate bfloat16')
    assert explicit.startswith('training in bfloat16: set in the config or by a flag')
    assert 'slower than float32, since Some CPU would emulate' in explicit
