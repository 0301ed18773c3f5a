"""Short forms of the scripts that try to break the tools (tools/reliability)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.command_line import is_mistake
from tools.reliability import bad_input
from tools.reliability.bad_files import GENERATORS
from tools.reliability.bad_input import faults, try_all

ROOT = Path(__file__).resolve().parents[2]
KINDS = ('annotation JSON', 'submission JSON', 'features', 'raw predictions', 'flow', 'checkpoint')


def run(script, *arguments):
    """Run a script of tools/reliability, which fails where it finds a fault."""
    command = [sys.executable, '-W', 'ignore', str(ROOT / 'tools/reliability' / script)]
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    result = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    return result.stdout


@pytest.mark.parametrize('kind', [*KINDS, 'config', pytest.param('video', marks=pytest.mark.slow)])
def test_bad_files_are_refused(kind, tmp_path):
    records = try_all(tmp_path, [kind])
    assert len(records) >= 15 and any(record['reaction'] == 'refused' for record in records)
    assert faults(records) == []
    for record in records:
        if record['reaction'] == 'refused':
            assert record['message'] and '\n' not in record['message']


@pytest.fixture(scope='module')
def readers(tmp_path_factory):
    """For each kind, a reader and a file of it that is damaged little."""
    proof = tmp_path_factory.mktemp('readers') / 'proof'
    return {kind: next(iter(GENERATORS[kind](proof))) for kind in KINDS}


@pytest.mark.parametrize('kind', KINDS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_readers_of_any_bytes(kind, readers, tmp_path, data):
    case = readers[kind]
    content = bytearray(data.draw(st.binary(max_size=64)) + case.content)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path / case.file
    path.write_bytes(bytes(content))
    try:
        case.read(path)
    except Exception as error:
        assert is_mistake(error), repr(error)


@pytest.mark.slow
def test_kills():
    tools = ('train', 'prepare frames', 'extract_flow')
    table = run('kill_anything.py', '--kills', 3, '--only', *tools)
    assert [line for line in table.splitlines() if line.startswith('all')]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='root mounts')
def test_full_disks(tmp_path):
    if subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', str(tmp_path)]).returncode:
        pytest.skip('a tmpfs cannot be mounted here')
    subprocess.run(['umount', str(tmp_path)], check=True)
    run('full_disk.py', '--limits', 2, '--only', 'extract_flow')


@pytest.mark.slow
def test_two_processes_train_as_one():
    table = run('distributed.py', '--processes', 2, '--only', 'TAGS student')
    assert table.count(' 2  ') >= 1


@pytest.mark.slow
def test_a_compiled_step_is_the_step():
    table = run('compiled.py', '--backend', 'aot_eager', '--only', 'GTAD', '--lengths', 16)
    assert table.splitlines()[-1].startswith('GTAD')


def test_kinds_of_bad_files_are_those_of_the_generators():
    assert tuple(GENERATORS) == bad_input.KINDS
