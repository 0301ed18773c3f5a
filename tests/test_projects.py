"""The example of a detector of one's own: two training steps, gradients, and the command line."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper

from tools import test as test_tool
from tools import train as train_tool

PROJECT = Path(__file__).resolve().parents[1] / 'projects' / 'example_detector'


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    yield
    if str(PROJECT) in sys.path:
        sys.path.remove(str(PROJECT))


@pytest.fixture
def checkpoint(tmp_path):
    model = build(Config.fromfile(PROJECT / 'configs' / 'teacher.py').model, seed=7)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'teacher.pth')
    return str(tmp_path / 'teacher.pth')


def build(config, seed=0):
    from mmaction.registry import MODELS

    torch.manual_seed(seed)
    return MODELS.build(config)


def batch():
    from example_detector import GeneratedSteps

    data = GeneratedSteps(4)
    return pseudo_collate([data[index] for index in range(4)])


def test_the_package_does_not_know_mmtad_decomp():
    for path in (PROJECT / 'example_detector').glob('*.py'):
        imports = [line for line in path.read_text().splitlines() if 'import' in line]
        assert not any('mmtad' in line or 'mmaction' in line for line in imports[1:])


@pytest.mark.parametrize('kind', ['conventional', 'decomp'])
def test_two_steps_of_distillation(kind, checkpoint):
    config = Config.fromfile(PROJECT / 'configs' / f'{kind}.py').model
    config.teacher_checkpoint = checkpoint
    model = build(config)
    model.init_weights()
    teacher = {key: value.clone() for key, value in model.teacher.state_dict().items()}
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    model.train()
    for _ in range(2):
        losses = model.train_step(batch(), optimizer)
        assert all(torch.isfinite(value) for value in losses.values())
        assert losses['loss_feature'] > 0 and losses['loss_scores'] > 0
    after = dict(model.named_parameters())
    assert all(not torch.equal(before[key], after[key]) for key in before)
    assert all(
        torch.equal(teacher[key], value) for key, value in model.teacher.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


def gradients(loss, module):
    found = torch.autograd.grad(
        loss, list(module.parameters()), retain_graph=True, allow_unused=True
    )
    return [grad for grad in found if grad is not None and grad.any()]


def test_gradients_of_the_decomposed_one(checkpoint):
    config = Config.fromfile(PROJECT / 'configs' / 'decomp.py').model
    config.teacher_checkpoint = checkpoint
    model = build(config)
    model.init_weights()
    losses = model(**model.data_preprocessor(batch(), True), mode='loss')
    student = model.student
    for mimic in ('loss_feature', 'loss_scores'):
        assert gradients(losses[mimic], student.neck.motion)
        assert not gradients(losses[mimic], student.neck.appearance)
        assert not gradients(losses[mimic], student.head)
    app = losses['app_loss_actionness']
    assert gradients(app, student.shared_head) and not gradients(app, student.head)
    assert gradients(losses['joint_loss_actionness'], student.head)


@pytest.mark.slow
def test_the_commands_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ('teacher', 'conventional', 'decomp'):
        config = PROJECT / 'configs' / f'{kind}.py'
        options = ['--cfg-options', f'experiment_name=example_{kind}', 'train_cfg.max_epochs=1']
        train_tool.main([str(config), *options])
    test_tool.main([str(config), 'work_dirs/example_detector/decomp'])
