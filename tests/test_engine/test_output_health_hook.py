"""The hook sees an offset die in words and figures, and leaves healthy runs alone."""

import copy
import json

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmtad_decomp.engine.hooks import OutputHealthHook, UnhealthyOutputError
from mmtad_decomp.engine.hooks.training_probe import TrainingProbe
from mmtad_decomp.structures import Distances, Scores
from tests import small_heads
from tests.test_models import mixin_helpers as mixin
from tests.test_models import tiny_detectors as tiny


@DATASETS.register_module(force=True)
class GeneratedWindows(Dataset):
    """Four windows of generated frames."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raw = tiny.raw_batch(lengths=(8,), seed=index)
        frames, (sample,) = raw['inputs']['frames'][0], raw['data_samples']
        return dict(inputs=dict(frames=frames), data_samples=sample)


def detector(**options):
    config = tiny.detector_config()
    config['head'].update(options)
    return config


def kill(model, head='head'):
    """Push the left offset so far that ReLU gives 0 everywhere."""
    with torch.no_grad():
        model.get_submodule(f'{head}.reg_branch.predictor.conv').bias.copy_(
            torch.tensor([-10.0, 2.0])
        )
    return model


def probe(model, batch=None):
    """Figures and problems of one training step."""
    model.train()
    watch = TrainingProbe(model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    model.train_step(batch or tiny.raw_batch(lengths=(8, 8)), optimizer)
    return watch.finish()


def run(tmp_path, model, **hook):
    config = Config(
        dict(
            model=copy.deepcopy(tiny.detector_config()),
            work_dir=str(tmp_path),
            train_dataloader=dict(
                dataset=dict(type='GeneratedWindows'),
                batch_size=2,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type='pseudo_collate'),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(checkpoint=None),
            custom_hooks=[dict(type='OutputHealthHook', interval=2, **hook)],
            default_scope='mmaction',
            experiment_name=tmp_path.name,
        )
    )
    runner = Runner.from_cfg(config)
    runner.model = model
    runner.train()
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    text = next(tmp_path.glob('*/*.log')).read_text()
    return [r for r in records if any(key.startswith('health/') for key in r)], text


def test_a_dead_offset_is_told(tmp_path):
    model = kill(tiny.build(detector(offset_activation='relu')))
    records, text = run(tmp_path, model)
    message = 'head: the left offset is 0 at all points of 2 of 2 levels: its gradient is gone'
    assert text.count(message) == 1
    assert 'iteration 2: ' in text and 'right offset' not in text
    assert [r['step'] for r in records] == [2, 4]
    assert records[0]['health/head/left_offset/zero/1'] == 1
    assert records[0]['health/head/right_offset/zero/0'] < 1


def test_a_dead_offset_stops_the_run(tmp_path):
    model = kill(tiny.build(detector(offset_activation='relu')))
    with pytest.raises(UnhealthyOutputError, match=r'iteration 2: head: the left offset is 0'):
        run(tmp_path, model, stop=True)


@pytest.mark.parametrize('activation', ['softplus', 'relu'])
def test_a_healthy_run_has_no_warning(tmp_path, activation):
    model = tiny.build(detector(offset_activation=activation))
    with torch.no_grad():
        model.head.reg_branch.predictor.conv.bias.fill_(2.0)
    records, text = run(tmp_path, model, stop=True)
    assert 'WARNING - iteration' not in text
    assert records[0]['health/head/left_offset/spread/0'] > 0
    shares = [v for k, v in records[0].items() if k.startswith('health/grad_share/')]
    assert len(shares) == 2
    torch.testing.assert_close(sum(shares), 1.0)


@pytest.mark.parametrize('head', small_heads.HEADS)
def test_every_head_shows_its_outputs(head):
    config = tiny.detector_config(width=small_heads.WIDTH)
    model = tiny.build(dict(config, head=small_heads.head_config(head)))
    with torch.no_grad():  # TadTR's queries begin with one width.
        for parameter in model.head.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    figures, problems = probe(model)
    assert problems == []
    assert any(key.startswith('head/class_score/spread') for key in figures)
    assert all(figures[f'grad_norm/{part}'] > 0 for part in ('backbone', 'neck', 'head'))


def test_figures_are_those_of_plain_autograd():
    model = tiny.build(detector()).train()
    batch = tiny.raw_batch(lengths=(8, 5))
    figures, _ = probe(copy.deepcopy(model), copy.deepcopy(batch))
    data = model.data_preprocessor(batch, True)
    feats, masks = model.encode(data['inputs'], data['masks'])
    outputs = model.head(model.neck(feats, masks), masks)
    losses = model.head.loss_by_feat(outputs, model.targets(data['data_samples']))
    norms = {
        name: torch.autograd.grad(loss, feats, retain_graph=True)[0].norm()
        for name, loss in losses.items()
    }
    for name, norm in norms.items():
        share = (norm / sum(norms.values())).item()
        assert figures[f'grad_share/{name}'] == pytest.approx(share, rel=1e-4)
    sum(losses.values()).backward()
    for part in ('backbone', 'neck', 'head'):
        squares = [p.grad.square().sum() for p in getattr(model, part).parameters()]
        norm = torch.stack(squares).sum().sqrt().item()
        assert figures[f'grad_norm/{part}'] == pytest.approx(norm, rel=1e-4)
    first = outputs.offsets[0][:, 0].transpose(0, 1)
    valid = outputs.masks[0]
    spreads = [first[:, n][valid[n]].std(correction=0) for n in range(2)]
    assert figures['head/left_offset/spread/0'] == pytest.approx(
        torch.stack(spreads).mean().item(), rel=1e-4
    )


@pytest.mark.parametrize('decomposed', [False, True])
def test_a_distiller(tmp_path, decomposed):
    tiny.write_teacher(tmp_path / 'teacher.pth')
    config = tiny.distiller_config(tmp_path / 'teacher.pth', decomposed)
    student = config['student']['detector'] if decomposed else config['student']
    student['head']['offset_activation'] = 'relu'
    config['distill']['teacher']['detector'] = tiny.detector_config()
    model = tiny.build(config)
    model.init_weights()
    name = 'shared_head' if decomposed else 'head'
    kill(model, f'student.{name}')
    figures, problems = probe(model)
    calls = [name, f'{name}.call2'] if decomposed else [name]
    words = 'the left offset is 0 at all points of 2 of 2 levels: its gradient is gone'
    assert problems == [f'{call}: {words}' for call in calls]
    parts = {k.removeprefix('grad_norm/') for k in figures if k.startswith('grad_norm/')}
    branches = {'neck.appearance', 'neck.motion', 'fusion', 'shared_head'}
    assert parts == {'backbone', 'head'} | (branches if decomposed else {'neck'})
    mimics = {'grad_share/loss_feature', 'grad_share/loss_prediction'}
    assert mimics <= set(figures)


def test_a_part_without_gradient_is_told():
    model = tiny.build(detector())
    model.neck.register_forward_hook(lambda module, args, output: output.detach())
    figures, problems = probe(model)
    assert problems == ['no gradient reaches the backbone', 'no gradient reaches the neck']
    assert not any(key.startswith('grad_share') for key in figures)
    model = tiny.build(detector())
    model.backbone.requires_grad_(False)
    figures, problems = probe(model)
    assert problems == [] and 'grad_norm/backbone' not in figures
    assert any(key.startswith('grad_share') for key in figures)


def test_a_model_of_foreign_outputs():
    @MODELS.register_module(force=True)
    class UnknownDetector(type(tiny.build(detector()))):
        def loss(self, inputs, masks, data_samples):
            feats, masks = self.encode(inputs, masks)
            return dict(loss=[self.neck(feats, masks).mean()], accuracy=torch.ones(()))

    model = tiny.build(dict(detector(), type='UnknownDetector'))
    figures, problems = probe(model)
    assert problems == ['no gradient reaches the head']
    assert figures['grad_share/loss'] == 1


@pytest.mark.parametrize('role', ['baseline', 'decomp'])
@pytest.mark.parametrize('name', mixin.NAMES)
def test_localizers_show_their_gradients(tmp_path, name, role):
    config = mixin.config(f'{name}_{role}').model
    if role == 'decomp':
        config.teacher_checkpoint = mixin.write_teacher(tmp_path / 'teacher.pth', name)
    model = mixin.build(config)
    if role == 'decomp':
        model.init_weights()
    figures, problems = probe(model, mixin.batch(name))
    assert problems == []
    branch = 'neck.motion' if role == 'decomp' else 'neck'
    assert figures[f'grad_norm/{branch}'] > 0
    assert sum(v for k, v in figures.items() if 'grad_share' in k) == pytest.approx(1)


def test_nothing_is_left_behind():
    model = tiny.build(detector())
    probe(model)
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_words():
    points = torch.tensor([[[0.2, 0.4, 9.0]]])
    mask = torch.tensor([[True, True, False]])

    def words(signal):
        figures = {k: [float(x) for x in v] for k, v in signal.figures().items()}
        return figures, list(signal.problems(figures))

    figures, problems = words(Scores('score', [points], [mask]))
    assert problems == []
    assert figures['spread'][0] == pytest.approx(0.1)
    assert figures['mean'][0] == pytest.approx(0.3)
    assert 'the same at all points' in words(Scores('score', [points * 0 + 0.3], [mask]))[1][0]
    assert 'saturated' in words(Scores('score', [points * 0 + 1], [mask]))[1][0]
    broken = points.clone()
    broken[0, 0, 1] = torch.nan
    assert (
        'NaN or infinite at up to 50% of a level' in words(Scores('score', [broken], [mask]))[1][0]
    )
    alive = Distances('offset', [points, points * 0, points], [mask] * 3)
    assert words(alive)[1] == []
    dead = Distances('offset', [points * 0, points * 0, points], [mask] * 3)
    assert words(dead)[1] == [
        'the offset is 0 at all points of 2 of 3 levels: its gradient is gone'
    ]
    empty = Distances('offset', [points], [mask & False])
    assert words(empty)[1] == []


def test_interval():
    with pytest.raises(ValueError, match='interval must be at least 1, got 0'):
        OutputHealthHook(interval=0)
