"""DistillScheduleHook: values, logging, and configs that make no sense."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader

from mmtad_decomp.engine.hooks import DistillScheduleHook, distill_schedule_hook


class Distiller(torch.nn.Module):
    """Stands in for a distiller: it has factors."""

    def __init__(self):
        super().__init__()
        self.loss_factors = dict(app=1.0, feature=1.0)

    def forward(self, x):
        return x


class Compiled(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


def runner(model, name='schedule', iters=4):
    hub = MessageHub.get_instance(f'{name}-{id(model)}')
    loader = DataLoader(range(iters))
    return SimpleNamespace(model=model, epoch=0, iter=0, train_dataloader=loader, message_hub=hub)


def factors_over(hook, runner, iterations):
    values = []
    hook.before_train(runner)
    for runner.iter in range(iterations):
        runner.epoch, batch_idx = divmod(runner.iter, 4)
        hook.before_train_iter(runner, batch_idx)
        values.append(dict(runner.model.loss_factors))
    return values


def test_ramp_is_linear_and_constant_outside():
    hook = DistillScheduleHook(dict(feature=dict(start=1.0, stop=3.0, begin=1, end=2)))
    values = factors_over(hook, runner(Distiller()), 12)
    expected = [1.0] * 5 + [1.5, 2.0, 2.5] + [3.0] * 4
    assert [v['feature'] for v in values] == pytest.approx(expected)
    assert {v['app'] for v in values} == {1.0}


def test_defaults_rise_from_zero_to_one():
    assert DistillScheduleHook.value(0, end=5) == 0
    assert DistillScheduleHook.value(2.5, end=5) == 0.5
    assert DistillScheduleHook.value(5, end=5) == 1


def test_a_jump_has_no_ramp():
    values = [
        DistillScheduleHook.value(epoch, begin=2, end=2, start=1, stop=0) for epoch in (1.9, 2, 3)
    ]
    assert values == [1, 0, 0]


def test_a_resumed_run_goes_on_where_it_was():
    hook = DistillScheduleHook(dict(feature=dict(end=2)))
    fresh = runner(Distiller())
    fresh.epoch, fresh.iter = 1, 6
    hook.before_train_iter(fresh, 2)
    assert fresh.model.loss_factors['feature'] == pytest.approx(0.75)


def test_a_run_resumed_with_other_batches_does_not_ramp_again():
    hook = DistillScheduleHook(dict(feature=dict(end=2)))
    resumed = runner(Distiller(), iters=16)  # a quarter of the batch size of the first epoch
    resumed.epoch, resumed.iter = 1, 4
    hook.before_train_iter(resumed, 0)
    assert resumed.model.loss_factors['feature'] == 0.5


@pytest.mark.parametrize('processes', [1, 2])
def test_processes_with_infinite_samplers_share_an_epoch(processes, monkeypatch):
    monkeypatch.setattr(distill_schedule_hook, 'get_world_size', lambda: processes)
    hook, state = DistillScheduleHook(dict(feature=dict(end=1))), runner(Distiller())
    sampler = InfiniteSampler(range(8), seed=0)
    state.train_dataloader = DataLoader(range(8), batch_size=2, sampler=sampler)
    state.iter = 1  # such trainings have one epoch, whose batches are counted on
    hook.before_train_iter(state, 1)
    assert state.model.loss_factors['feature'] == processes / 4


def test_every_factor_is_logged():
    state = runner(Distiller(), 'logged')
    factors_over(DistillScheduleHook(dict(feature=dict(end=2))), state, 3)
    assert state.message_hub.get_scalar('train/factor_feature').current() == pytest.approx(0.25)
    assert state.message_hub.get_scalar('train/factor_app').current() == 1.0


def test_unknown_names_are_listed_with_the_known_ones():
    hook = DistillScheduleHook(dict(featur=dict(end=2)))
    with pytest.raises(ValueError, match=r"\['featur'\].*\['app', 'feature'\]"):
        hook.before_train(runner(Distiller()))


def test_a_model_that_is_no_distiller():
    with pytest.raises(TypeError, match=r'Linear; remove the hook'):
        DistillScheduleHook().before_train(runner(torch.nn.Linear(1, 1)))


@pytest.mark.parametrize(
    'ramp', [dict(end=1, begin=2), dict(end=1, stat=0.0), dict(start=0.0, stop=1.0)]
)
def test_ramps_that_make_no_sense(ramp):
    with pytest.raises(ValueError, match=r"\['feature'\] needs start, stop, begin and end"):
        DistillScheduleHook(dict(feature=ramp))


@pytest.mark.parametrize(
    'wrap',
    [
        torch.nn.DataParallel,
        Compiled,
        lambda model: torch.nn.DataParallel(Compiled(model)),
        lambda model: Compiled(torch.nn.DataParallel(model)),
    ],
)
def test_wrapped_and_compiled_models_are_unwrapped(wrap):
    model = Distiller()
    hook = DistillScheduleHook(dict(feature=dict(start=5.0, end=2)))
    hook.before_train_iter(runner(wrap(model)), 0)
    assert model.loss_factors['feature'] == 5.0
