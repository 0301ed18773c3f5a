"""--cfg-options: one way to name another data folder, and nothing that changes nothing."""

import os
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_training import ROOT

from mmtad_decomp.utils import ConfigError, check_device
from mmtad_decomp.utils.config_check import runner_keys
from tools.config_overrides import override


def load(name):
    return Config.fromfile(ROOT / 'configs' / name)


def strings(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize(
    'name',
    [
        'baseline/actionformer_tsm18narrow_grid_mini.py',
        'baseline/actionformer_tsm18_thumos.py',
        'decomp/actionformer_tsm18_thumos_of.py',
        'teacher/actionformer_features_salads.py',
    ],
)
def test_training_validation_and_test_follow_the_data_folder(name, tmp_path):
    cfg = load(name)
    old = cfg.data_root.rstrip('/')
    override(cfg, [f'data_root={tmp_path}'])
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert Path(cfg[key].dataset.data_root) == tmp_path
    for key in ('val_evaluator', 'test_evaluator'):
        assert Path(cfg[key].ann_file).parent == tmp_path
    used = {key: value for key, value in cfg.to_dict().items() if key in runner_keys()}
    assert not [text for text in strings(used) if text.startswith(old)]


def test_other_keys_are_set_after_the_data_folder(tmp_path):
    cfg = load('baseline/actionformer_tsm18_fir.py')
    options = [f'val_evaluator.ann_file={tmp_path}/b.json', f'data_root={tmp_path}']
    override(cfg, options)
    assert cfg.val_evaluator.ann_file == f'{tmp_path}/b.json'
    assert cfg.test_evaluator.ann_file == f'{tmp_path}/annotations.json'


def test_keys_that_the_runner_reads_from_the_config():
    cfg = load('baseline/actionformer_tsm18_fir.py')
    override(cfg, ['model_wrapper_cfg.type=FullyShardedModel', 'compile=True'])
    assert cfg.model_wrapper_cfg.type == 'FullyShardedModel' and cfg.compile


def test_a_data_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r'data_root=.*nowhere: there is no such folder'):
        override(load('baseline/actionformer_tsm18_fir.py'), [f'data_root={tmp_path}/nowhere'])


@pytest.mark.parametrize(
    'option, words',
    [
        ('num_classes=3', r'nothing reads `num_classes`; set `model\.head\.num_classes`'),
        ('num_classes=3', r', or edit `num_classes` in the config file'),
        ('in_channels=3', r'in_channels`$'),  # no variable
        ('seed=3', r'use --seed, or set `randomness\.seed`'),
        ('device=cuda', 'CUDA_VISIBLE_DEVICES'),
        ('trian_cfg.max_epochs=3', r'did you mean `train_cfg\.max_epochs`'),
        ('wibble.a=3', 'set a key below `model`'),
    ],
)
def test_an_override_that_changes_nothing_is_refused(option, words):
    with pytest.raises(ConfigError, match=rf'fir\.py: --cfg-options .*change nothing.*{words}'):
        override(load('baseline/actionformer_tsm18_fir.py'), [option])


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    cfg = load('baseline/actionformer_tsm18_fir.py')
    cfg.device = 'cpu'
    check_device(cfg)
    cfg.device = 'cuda'
    with pytest.raises(ConfigError, match=r"`device` is 'cuda', but this machine offers 'cpu'"):
        check_device(cfg)


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_launch_scripts_say_how_they_are_called(script):
    result = subprocess.run(
        ['bash', str(ROOT / f'tools/{script}.sh'), 'config.py'], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ') and result.stderr.count('\n') == 1
    assert f'bash tools/{script}.sh' in result.stderr


def test_foreign_scripts_find_bases_of_this_package(tmp_path):
    """As MMAction2's tools/train.py, which imports no package before it reads the config."""
    script = tmp_path / 'train.py'
    script.write_text(
        'import sys\nfrom mmengine.config import Config\n'
        'print(Config.fromfile(sys.argv[1]).model.type)\n'
    )
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmtad_decomp::baseline/actionformer_tsm18_fir.py'\n")
    python = [os.sys.executable, '-W', 'ignore']
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    settings = dict(capture_output=True, text=True, cwd=tmp_path, env=environment)
    bare = subprocess.run([*python, str(script), str(config)], **settings)
    assert bare.returncode, 'MMEngine finds it by itself: `python -m mmtad_decomp` can go'
    result = subprocess.run([*python, '-m', 'mmtad_decomp', script, config], **settings)
    assert result.stdout.splitlines()[-1] == 'TADDetector', result.stderr[-500:]
