"""tools/benchmarks/training_step.py on configs at a size that tests can afford."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tools.benchmarks import training_step

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def test_frames_have_the_size_that_the_config_crops():
    config = Config.fromfile(CONFIGS / 'baseline' / 'actionformer_i3d_thumos.py')
    assert training_step.frame_size(config) == (96, 96)
    wide = Config.fromfile(CONFIGS / 'baseline' / 'actionformer_tsm18_fir.py')
    assert training_step.frame_size(wide) == (48, 64)
    config.train_dataloader.dataset.pipeline = []
    with pytest.raises(SystemExit, match='give --size'):
        training_step.frame_size(config)


@pytest.mark.parametrize('kind', ['baseline', 'decomp'])
def test_measures_detectors_and_distillers(kind, capsys):
    path = str(CONFIGS / kind / 'actionformer_tsm18_synthetic.py')
    training_step.main([path, '--child', '--windows=2', '--size=16', '--device=cpu'])
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row['shape'] == [2, Config.fromfile(path).window, 16, 16]
    assert row['seconds'] > 0 and row['gib'] > 0.05 and row['parameters'] > 11


def test_frames_that_are_not_square_and_flow(capsys):
    path = str(CONFIGS / 'teacher' / 'actionformer_tsm18_fir_of.py')
    training_step.main([path, '--child', '--windows=1', '--device=cpu'])
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row['shape'] == [1, Config.fromfile(path).window, 48, 64]


def test_options_reach_the_model_and_the_time_is_the_median_of_the_steps(monkeypatch):
    path = str(CONFIGS / 'baseline' / 'actionformer_tsm18_synthetic.py')
    options = ['model.backbone.channels_last=False', 'optim_wrapper.optimizer.lr=0.5']
    step = training_step.TrainingStep(path, 1, 'cpu', 16, options)
    assert step.model.backbone.memory_format == torch.contiguous_format
    assert {group['lr'] for group in step.wrapper.param_groups} == {0.5}
    times = iter([100.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(training_step.TrainingStep, 'seconds', lambda self: next(times))
    assert training_step.measure(path, 1, 'cpu', 16, (), steps=3)['seconds'] == 2.0


def test_rows_are_written_as_they_come(tmp_path):
    """A run that fails at its second config, as one that is stopped, keeps the first."""
    path = str(CONFIGS / 'baseline' / 'actionformer_tsm18_synthetic.py')
    target = tmp_path / 'rows.json'
    with pytest.raises(subprocess.CalledProcessError):
        training_step.main([path, 'missing.py', '--size=16', '--device=cpu', f'--json={target}'])
    written = json.loads(target.read_text())
    assert list(written['rows']) == [path] and written['device'] != 'cpu'
