"""The launch scripts hand over what they are given; stand-ins for srun and torchrun note it."""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def launch(tmp_path):
    """Run a script; returns the words that the launcher was called with."""
    for name in ('srun', 'torchrun'):
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" > "{tmp_path}/words"\n')
        stand_in.chmod(0o755)

    def run(script, *arguments, code=0, **environment):
        path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
        result = subprocess.run(
            ['bash', str(TOOLS / script), *arguments],
            env={'PATH': path, **environment},
            capture_output=True,
            text=True,
        )
        assert result.returncode == code, result.stderr
        return result.stderr if code else (tmp_path / 'words').read_text().splitlines()

    return run


@pytest.mark.parametrize(
    'script, given, tool',
    [
        ('slurm_train.sh', ['c.py'], 'train.py'),
        ('slurm_test.sh', ['c.py', 'x.pth'], 'test.py'),
    ],
)
def test_slurm(launch, script, given, tool):
    words = launch(
        script, 'gpu', 'my job', *given, '--work-dir', 'a b', GPUS='16', SRUN_ARGS='--time=9 -x n1'
    )
    at = words.index('python')
    assert words[0] == 'srun' and {'-p', 'gpu', '--job-name=my job'} <= set(words[:at])
    assert {'--ntasks=16', '--ntasks-per-node=8', '--gres=gpu:8'} <= set(words[:at])
    assert words[at - 3 : at] == ['--time=9', '-x', 'n1'] and '--kill-on-bad-exit=1' in words
    assert words[at + 1 :] == ['-u', str(TOOLS / tool), *given, *['--launcher', 'slurm']] + [
        '--work-dir',
        'a b',
    ]


@pytest.mark.parametrize(
    'script, given, tool',
    [('dist_train.sh', ['c.py'], 'train.py'), ('dist_test.sh', ['c.py', 'x.pth'], 'test.py')],
)
def test_torchrun_on_several_machines(launch, script, given, tool):
    words = launch(
        script, *given, '4', '--seed', '3', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1'
    )
    at = words.index(str(TOOLS / tool))
    assert words[:at] == [
        'torchrun',
        '--nnodes=2',
        '--node_rank=1',
        '--master_addr=10.0.0.1',
        '--master_port=29500',
        '--nproc_per_node=4',
    ]
    assert words[at + 1 :] == [*given, '--launcher', 'pytorch', '--seed', '3']


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_missing_arguments(launch, script):
    assert launch(script, 'c.py', code=2).startswith('usage: ')
