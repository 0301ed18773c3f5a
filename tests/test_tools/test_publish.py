"""tools/model_converters/publish_student.py: nothing is lost, nothing is left over."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_training import ROOT, config, options, write_videos

from mmtad_decomp import __version__
from mmtad_decomp.apis.publishing import publish, published_config
from mmtad_decomp.utils import CheckpointError, check_config
from tools import test as test_tool
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


def predictions(cfg, weights):
    """What a config's model predicts for one random batch."""
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)['state_dict'], strict=True)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 16, 3, 32, 32, generator=generator)
    masks = torch.ones(2, 16, dtype=torch.bool)
    masks[1, 12:] = False
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
