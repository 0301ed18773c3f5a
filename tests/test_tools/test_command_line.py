"""A user's mistakes end as one sentence with exit code 2, and before anything heavy is loaded."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from study_helpers import in_fork
from tiny_training import ROOT, config

from mmtad_decomp.annotations import AnnotationError
from mmtad_decomp.engine.hooks import StrictLoadingHook
from mmtad_decomp.utils import CheckpointError, ConfigError
from tools import _cli
from tools import test as test_tool
from tools import train as train_tool
from tools.command_line import run_main


def raising(error):
    def command():
        raise error

    return command


def sentence(capsys, command, *args):
    """What a command that ends with a mistake writes."""
    assert run_main(command, *args) == 2
    out = capsys.readouterr()
    assert out.err.startswith('error: ') and out.err.count('\n') == 1
    assert 'Traceback' not in out.err
    return out.err


@pytest.mark.parametrize(
    'error',
    [
        ConfigError('a.py: `x` is wrong'),
        CheckpointError('a.pth is broken'),
        AnnotationError('a.json:\n  "v" has no duration'),
        FileNotFoundError('a does not exist'),
        ImportError('a is not installed'),
    ],
)
def test_a_mistake_is_one_sentence(error, capsys):
    assert sentence(capsys, raising(error)) == f'error: {" ".join(str(error).split())}\n'


def test_a_defect_keeps_its_traceback():
    for error in (ValueError('deep in a library'), RuntimeError('x'), KeyError('x')):
        with pytest.raises(type(error)):
            run_main(raising(error))


@pytest.mark.parametrize('result, code', [(None, 0), (3, 3), (dict(mAP=0.5), 0)])
def test_exit_codes_of_commands_that_end_well(result, code):
    assert run_main(lambda: result) == code


def test_the_traceback_on_demand(capsys, monkeypatch):
    monkeypatch.setenv('MMTAD_TRACEBACK', '1')
    assert run_main(raising(ConfigError('x'))) == 2
    assert 'Traceback (most recent call last)' in capsys.readouterr().err
    monkeypatch.setenv('MMTAD_TRACEBACK', '0')
    assert sentence(capsys, raising(ConfigError('x'))) == 'error: x\n'
    monkeypatch.setattr(sys, 'argv', ['train.py', 'config.py', '--traceback'])
    assert run_main(raising(ConfigError('x'))) == 2
    assert 'Traceback (most recent call last)' in capsys.readouterr().err


def signalled(then=None, build=False, number=signal.SIGTERM):
    """A command that gets a signal twice, as from `timeout`, and prints how it ends."""
    if build:
        _cli.build_runner({})
    try:
        for _ in range(2):
            os.kill(os.getpid(), number)
        time.sleep(60)
    finally:
        print('cleaned up', flush=True)
        os.kill(os.getpid(), number)
        if then is not None:
            raise then


def in_a_child(result):
    """A command that forks a child which gets SIGTERM; 0 if that had no handler."""
    child = os.fork()
    if not child:
        signalled()
    _, status = os.waitpid(child, 0)
    return result if os.waitstatus_to_exitcode(status) == -signal.SIGTERM else 1


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs POSIX')
@pytest.mark.parametrize(
    ('arguments', 'code', 'text'),
    [
        ((signalled,), 143, 'cleaned up\nended by SIGTERM\n'),
        ((signalled, RuntimeError('a worker died')), 143, 'cleaned up\nended by SIGTERM\n'),
        ((signalled, None, True), -signal.SIGTERM, ''),
        ((signalled, None, True, signal.SIGINT), 130, 'cleaned up\nended by SIGINT\n'),
        (
            (signalled, RuntimeError('x'), False, signal.SIGINT),
            130,
            'cleaned up\nended by SIGINT\n',
        ),
        ((raising(KeyboardInterrupt),), 130, 'ended by SIGINT\n'),
        ((in_a_child, 0), 0, ''),
    ],
)
def test_after_a_signal_a_command_cleans_up(arguments, code, text, capfd, monkeypatch):
    runner = SimpleNamespace(hooks=[StrictLoadingHook()])
    monkeypatch.setattr(_cli.ConciseRunner, 'from_cfg', lambda cfg: runner)
    process = in_fork(lambda words: run_main(*words), arguments)
    process.join(30)
    assert process.exitcode == code
    assert ''.join(capfd.readouterr()) == text


@pytest.mark.parametrize(
    'launcher, words', [('pytorch', 'RANK, which torchrun sets'), ('slurm', 'SLURM_PROCID')]
)
def test_a_launcher_that_did_not_launch(launcher, words, capsys, monkeypatch):
    for name in ('RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    text = sentence(capsys, train_tool.main, [config('baseline'), '--launcher', launcher])
    assert f'--launcher {launcher}' in text and words in text


class _Broken:
    """A data set whose item is a mistake, as an annotation would be."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


def test_a_mistake_in_a_worker_is_one_sentence(capsys):
    from torch.utils.data import DataLoader

    loader = DataLoader(_Broken(AnnotationError('a.json: "v": no fps; add it')), num_workers=1)
    assert sentence(capsys, lambda: list(loader)) == 'error: a.json: "v": no fps; add it\n'
    loader = DataLoader(_Broken(ValueError('deep in a library')), num_workers=1)
    with pytest.raises(ValueError, match='Original Traceback'):
        run_main(lambda: list(loader))


@pytest.mark.parametrize(
    'option, words',
    [
        ('train_dataloader.batch_size=0', ['`train_dataloader.batch_size` is 0', 'at least 1']),
        ('test_dataloader.batch_size=two', ["`test_dataloader.batch_size` is 'two'"]),
        ('val_dataloader.num_workers=-1', ['`val_dataloader.num_workers` is -1', 'at least 0']),
        (
            'model.type=TADDetektor',
            ['unknown type `TADDetektor`', '`TADDetector`', '`model.type`'],
        ),
        (
            'default_hooks.logger.type=LogerHook',
            ['unknown type `LogerHook`', '`LoggerHook`', '`default_hooks.logger.type`'],
        ),
        ('train_dataloader', ['--cfg-options train_dataloader: write key=value']),
        ('model.type.name=1', ['--cfg-options model.type.name=1 does not fit']),
    ],
)
def test_mistakes_in_the_config_name_file_key_and_fix(option, words, tmp_path, capsys):
    flags = [config('baseline'), '--work-dir', str(tmp_path), '--cfg-options', option]
    text = sentence(capsys, train_tool.main, flags)
    assert all(word in text for word in words)
    assert 'actionformer_tsm18_synthetic.py' in text or '--cfg-options train' in text


def test_a_config_that_cannot_be_read(tmp_path, capsys):
    path = tmp_path / 'broken.py'
    path.write_text('model = dict(\n')
    assert f'error: {path}: the config cannot be read' in sentence(
        capsys, train_tool.main, [str(path)]
    )
    path.write_text("_base_ = 'nowhere.py'\n")
    assert 'nowhere.py' in sentence(capsys, train_tool.main, [str(path)])


@pytest.mark.parametrize('tool, more', [(train_tool, []), (test_tool, ['x.pth'])])
def test_a_missing_config_suggests_the_nearest(tool, more, tmp_path, capsys):
    (tmp_path / 'detector.py').touch()
    text = sentence(capsys, tool.main, [str(tmp_path / 'detectr.py'), *more])
    assert text.endswith(f'detectr.py does not exist; did you mean {tmp_path / "detector.py"}?\n')
    assert 'name a config file in it' in sentence(capsys, tool.main, [str(tmp_path), *more])


_LOADED = """
import json, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in ('torch', 'numpy', 'mmengine') if name in sys.modules]]))
"""


@pytest.mark.parametrize('tool', ['train', 'test'])
@pytest.mark.parametrize('arguments, code', [(['--help'], 0), (['no.py', 'x.pth'], 2)])
def test_help_and_a_missing_config_import_nothing_heavy(tool, arguments, code):
    if tool == 'train':
        arguments = arguments[:1]
    line = [sys.executable, '-c', _LOADED, str(ROOT / f'tools/{tool}.py'), *arguments]
    result = subprocess.run(line, capture_output=True, text=True)
    assert json.loads(result.stdout.splitlines()[-1]) == [code, []], result.stderr
