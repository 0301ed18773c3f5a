"""tools/model_converters/publish_student.py: nothing is lost, nothing is left over."""

import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_training import ROOT, config, options, write_videos

from mmtad_decomp import __version__
from mmtad_decomp.apis.publishing import publish, published_config
from mmtad_decomp.utils import CheckpointError, ConfigError, OutputPathError, check_config
from tools import test as test_tool
from tools.deployment import export
from tools.model_converters import publish_student


def write_checkpoint(path, cfg):
    """A training checkpoint with random weights and running statistics, and an optimizer."""
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    for name, value in model.state_dict().items():
        if name.endswith('running_mean'):
            value.normal_(std=0.1)
    content = dict(
        meta=dict(epoch=3, dataset_meta=dict(classes=list(cfg.classes))),
        state_dict=model.state_dict(),
        optimizer=dict(state={0: torch.zeros(1000)}, param_groups=[]),
    )
    torch.save(content, path)
    return path


def with_adapter(tmp_path):
    """A config whose feature mimic has weights of its own."""
    path = tmp_path / 'with_adapter.py'
    path.write_text(
        f"_base_ = '{config('decomp')}'\n"
        'adapter = dict(in_channels=128, out_channels=128)\n'
        'model = dict(distill=dict(mimics=dict(feature=dict(loss=dict(adapter=adapter)))))\n'
    )
    return str(path)


def batch():
    """Frames ``(2, 16, 3, 32, 32)`` and masks, the second video of 12 frames."""
    frames = torch.randn(2, 16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return frames, torch.arange(16)[None] < torch.tensor([[16], [12]])


def predictions(cfg, weights):
    """What a config's model predicts for one random batch."""
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)['state_dict'], strict=True)
    frames, masks = batch()
    with torch.no_grad():
        return model(frames, masks=masks, mode='tensor')


@pytest.mark.parametrize('kind', ['decomp', 'conventional', 'baseline', 'adapter'])
def test_predictions_are_equal(kind, tmp_path, capsys):
    source = with_adapter(tmp_path) if kind == 'adapter' else config(kind)
    cfg = Config.fromfile(source)
    trained = write_checkpoint(tmp_path / 'trained.pth', cfg)
    publish_student.main([source, str(trained), str(tmp_path / 'out' / 'student')])
    weights, text = tmp_path / 'out' / 'student.pth', tmp_path / 'out' / 'student.py'
    assert 'MiB' in capsys.readouterr().out

    published = Config.fromfile(text)
    before, after = predictions(cfg, trained), predictions(published, weights)
    for ours, theirs in zip(after, before):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))

    content = torch.load(weights, weights_only=True)
    assert set(content) == {'meta', 'state_dict'}
    assert not [k for k in content['state_dict'] if 'shared_head' in k or k.startswith('mimics')]
    assert not [k for k in content['state_dict'] if 'teacher' in k or k.startswith('student')]
    meta = content['meta']
    assert meta['classes'] == list(cfg.classes) and meta['mmtad_decomp_version'] == __version__
    assert meta['source_config'].endswith('.py') and '/' not in meta['source_config']
    decomposed = kind in ('decomp', 'adapter')
    assert published.model.type == ('DecomposedDetector' if decomposed else 'TADDetector')
    assert weights.stat().st_size < trained.stat().st_size
    assert [path.name for path in (tmp_path / 'out').iterdir() if path.suffix == '.tmp'] == []


@pytest.mark.parametrize('distilled', [True, False], ids=['distilled', 'no teacher, no neck'])
def test_the_appearance_branch_is_published_as_the_plain_detector(distilled, tmp_path):
    cfg = Config.fromfile(config('decomp'))
    assert cfg.model.student.detector.neck
    if not distilled:
        cfg.model = cfg.model.student
        cfg.model.detector.pop('neck')
        cfg.model.detector.head.in_channels = 512
    cfg.dump(tmp_path / 'source.py')
    trained = write_checkpoint(tmp_path / 'trained.pth', cfg)
    command = [str(tmp_path / 'source.py'), str(trained), str(tmp_path / 'plain')]
    publish_student.main([*command, '--branch', 'appearance'])
    published = Config.fromfile(tmp_path / 'plain.py')
    assert published.model.type == 'TADDetector'
    check_config(published)

    frames, masks = batch()
    student = MODELS.build(cfg.model).eval()
    student.load_state_dict(torch.load(trained, weights_only=True)['state_dict'], strict=True)
    student = student.student if distilled else student
    with torch.no_grad():
        before = student.branches(frames, masks).appearance
    after = predictions(published, tmp_path / 'plain.pth')
    for mine, reference in zip(after, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, reference, strict=True))

    # What is published has one branch, which the joint head's student does not.
    with pytest.raises(ConfigError, match='the TADDetector of `model` has one branch'):
        publish(str(tmp_path / 'plain.py'), str(tmp_path / 'plain.pth'), 'b', branch='appearance')
    publish_student.main(command)
    with pytest.raises(ConfigError, match='published without its shared head'):
        publish(str(tmp_path / 'plain.py'), str(tmp_path / 'plain.pth'), 'b', branch='appearance')


def test_the_published_config_stands_alone(tmp_path):
    cfg = Config.fromfile(config('decomp'))
    trained = write_checkpoint(tmp_path / 'trained.pth', cfg)
    _, text = publish(config('decomp'), str(trained), str(tmp_path / 'student'))
    assert '_base_' not in text.read_text() and 'teacher' not in text.read_text()
    published = Config.fromfile(text)
    check_config(published)
    assert published.test_dataloader == cfg.test_dataloader
    assert published.test_evaluator == cfg.test_evaluator


def test_pretrained_weights_are_not_asked_for_again():
    for name in ('decomp/actionformer_tsm18_thumos.py', 'decomp/actionformer_tsm50_thumos.py'):
        model = published_config(Config.fromfile(ROOT / 'configs' / name)).model
        assert model.detector.backbone.get('init_cfg') is None
        assert model.detector.backbone.backbone.pretrained is None
        assert not model.detector.backbone.backbone.pretrained2d


def test_a_checkpoint_of_another_config_is_refused(tmp_path):
    trained = write_checkpoint(tmp_path / 'trained.pth', Config.fromfile(config('conventional')))
    with pytest.raises(CheckpointError, match=r'trained\.pth does not fit its config'):
        publish(config('decomp'), str(trained), str(tmp_path / 'student'))
    assert not list(tmp_path.glob('student*'))
    with pytest.raises(FileNotFoundError, match='gone'):
        publish(config('decomp'), str(tmp_path / 'gone'), str(tmp_path / 's'))


def test_sources_are_not_replaced(tmp_path):
    """Neither under their own name nor under that of a link."""
    source = tmp_path / 'cfg.py'
    source.write_text(f"_base_ = '{config('baseline')}'\n")
    trained = write_checkpoint(tmp_path / 'epoch_1.pth', Config.fromfile(source))
    (tmp_path / 'link.pth').symlink_to(trained)
    before = [path.read_bytes() for path in (source, trained)]
    for prefix in ('epoch_1', '../' + tmp_path.name + '/epoch_1', 'cfg', 'link'):
        with pytest.raises(OutputPathError, match='would be replaced'):
            publish_student.main([str(source), str(trained), str(tmp_path / prefix)])
    assert [path.read_bytes() for path in (source, trained)] == before
    assert len(list(tmp_path.iterdir())) == 3


def trained_with(path, kind, changes, **meta):
    """A checkpoint of a training with ``--cfg-options``; returns its config too."""
    cfg = Config.fromfile(config(kind))
    cfg.merge_from_dict(changes)
    write_checkpoint(path, cfg)
    content = torch.load(path, weights_only=True)
    content['meta'] |= dict(cfg=cfg.pretty_text) | meta
    torch.save(content, path)
    return cfg


WINDOW = 'model.student.fusion.window'


def test_a_network_of_the_command_line_is_published_with_it_alone(tmp_path):
    """Weights fit any window."""
    cfg = trained_with(tmp_path / 'trained.pth', 'decomp', {WINDOW: 3})
    command = [config('decomp'), str(tmp_path / 'trained.pth'), str(tmp_path / 'student')]
    with pytest.raises(CheckpointError, match=rf'window was 3 .* add --cfg-options {WINDOW}=3,'):
        publish_student.main(command)
    assert not list(tmp_path.glob('student*'))
    publish_student.main([*command, '--cfg-options', f'{WINDOW}=3'])
    published = Config.fromfile(tmp_path / 'student.py')
    before = predictions(cfg, tmp_path / 'trained.pth')
    after = predictions(published, tmp_path / 'student.pth')
    for ours, theirs in zip(after, before):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


def test_export_refuses_and_takes_them_too(tmp_path, monkeypatch):
    trained_with(tmp_path / 'trained.pth', 'decomp', {WINDOW: 3})
    exported = []
    monkeypatch.setattr(export, 'export', lambda model, *_: exported.append(model) or {})
    command = [config('decomp'), str(tmp_path / 'trained.pth'), str(tmp_path / 'student')]
    with pytest.raises(CheckpointError, match=rf'add --cfg-options {WINDOW}=3,'):
        export.main(command)
    export.main([*command, '--cfg-options', f'{WINDOW}=3'])
    assert [model.fusion.window for model in exported] == [3]


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'head.offset_activation': 'relu'}, 'head.offset_activation=relu'),
        ({'head.encoder.num_heads': 2}, 'head.encoder.num_heads=2'),
        ({'data_preprocessor.modality.std': [1, 2, 3]}, 'data_preprocessor.modality.std=[1,2,3]'),
        ({'head.num_head_layers': 3}, None),  # the default
        ({'head.loss_reg.loss_weight': 9.0, 'head.label_smoothing': 0.3}, None),
        ({'head.encoder.drop_path': 0.5, 'backbone.frozen_stages': 2}, None),
    ],
)
@pytest.mark.parametrize('kind', ['decomp', 'baseline'])
def test_differences_that_change_what_is_computed(kind, changes, named, tmp_path):
    """An absent key has its default; how a network was trained is of no account."""
    prefix = 'model.student.detector' if kind == 'decomp' else 'model'
    changes = {f'{prefix}.{key}': value for key, value in changes.items()}
    trained_with(tmp_path / 'trained.pth', kind, changes)
    command = (config(kind), str(tmp_path / 'trained.pth'), str(tmp_path / 'student'))
    if named is None:
        publish(*command)
        return
    with pytest.raises(CheckpointError, match=re.escape(f'{prefix}.{named}')):
        publish(*command)


@pytest.mark.parametrize(
    'text',
    [
        "model = dict(type='CrossModalDistiller', pupil=dict(type='DecomposedDetector'))",
        "model = dict(type='CrossModalDistiller', student=dict(type='TwoBranchDetector'))",
        "model = dict(type='CrossModalDistiller', "
        "student=dict(type='DecomposedDetector', detector=dict(type='TADDetector', width=3)))",
        'import os',
        'data = 1',
    ],
)
def test_a_config_that_is_not_understood_passes(text, tmp_path):
    """Of an earlier version, or of another program."""
    trained_with(tmp_path / 'trained.pth', 'decomp', {}, cfg=text)
    publish(config('decomp'), str(tmp_path / 'trained.pth'), str(tmp_path / 'student'))


def test_another_kind_of_model_asks_for_its_config(tmp_path):
    trained_with(tmp_path / 'trained.pth', 'conventional', {})
    wrong = r"model\.student\.type was 'TADDetector' and is 'DecomposedDetector'; give the config"
    with pytest.raises(CheckpointError, match=wrong):
        publish(config('decomp'), str(tmp_path / 'trained.pth'), str(tmp_path / 'student'))


def test_the_test_tool_reports_the_same_before_and_after(tmp_path):
    data = write_videos(tmp_path / 'data')
    trained = write_checkpoint(tmp_path / 'trained.pth', Config.fromfile(config('decomp')))
    weights, text = publish(config('decomp'), str(trained), str(tmp_path / 'student'))
    results = []
    for source, checkpoint in ((config('decomp'), trained), (text, weights)):
        dump = tmp_path / f'{len(results)}.json'
        flags = ['--work-dir', str(tmp_path / 'work'), '--dump-json', str(dump)]
        settings = [o for o in options(data) if 'train_' not in o and 'val_' not in o]
        test_tool.main([str(source), str(checkpoint), *flags, *settings])
        results.append(dump.read_text())
    assert results[0] == results[1] and '"segment"' in results[0]


def test_a_published_config_averages_no_weights():
    cfg = Config.fromfile(ROOT / 'configs' / 'decomp' / 'actionformer_tsm18_thumos.py')
    assert cfg.default_hooks.ema.type == 'EMAHook'
    hooks = published_config(cfg).default_hooks
    assert set(hooks) == set(cfg.default_hooks) - {'ema'}
