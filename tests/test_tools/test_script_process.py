"""Scripts that are forked from a process with everything imported."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmtad_decomp.utils.atomic import process_runs
from tools import script_process
from tools.script_process import ScriptProcess, start_server

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, os, sys
facts = dict(
    name=__name__, arguments=sys.argv, folder=os.getcwd(), environment=dict(os.environ),
    cores=sorted(os.sched_getaffinity(0)), leads=os.getpgid(0) == os.getpid(),
)
print(json.dumps(facts), flush=True)
print('to stderr', file=sys.stderr)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a script that has this text; what still runs at the end is killed."""
    monkeypatch.setattr(script_process, 'PRELOADED', 'json')
    started = []

    def start(text, *arguments, threads=1, **environment):
        script = tmp_path / 'script.py'
        script.write_text(text)
        with open(tmp_path / 'lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = ScriptProcess(
                [str(script), *arguments],
                tmp_path / 'script.log',
                {**os.environ, **environment},
                sorted(os.sched_getaffinity(0))[:1],
                threads,
                lock,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.send(signal.SIGKILL)


def ended(process, seconds=60):
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process.returncode


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_runs_as_a_script_by_itself_would(start, tmp_path):
    process = start(SCRIPT, 'a', '--b', OMP_NUM_THREADS='3', SOME_NAME='ä')
    assert ended(process) == 0 and process.peak_memory_mb > 5
    facts, last = (tmp_path / 'script.log').read_text().splitlines()
    facts = json.loads(facts)
    assert last == 'to stderr'
    assert facts['name'] == '__main__' and facts['leads']
    assert facts['arguments'] == [str(tmp_path / 'script.py'), 'a', '--b']
    assert facts['folder'] == os.getcwd() and facts['cores'] == facts['cores'][:1]
    expected = {**os.environ, 'OMP_NUM_THREADS': '3', 'SOME_NAME': 'ä'}
    assert facts['environment'] == expected


IMPORTS = """
import json, sys
facts = dict(imported='mmengine.runner' in sys.modules and 'torch._dynamo' in sys.modules)
import torch
print(json.dumps(facts | dict(threads=torch.get_num_threads(), cuda=torch.cuda.is_available())))
"""


def test_has_its_imports_before_it_starts_unless_there_is_a_gpu(tmp_path):
    """In a new process, whose server nobody else has started before."""
    script = tmp_path / 'script.py'
    script.write_text(IMPORTS)
    program = (
        'import os, sys, time\n'
        'from pathlib import Path\n'
        'from tools.script_process import ScriptProcess\n'
        'assert "torch" not in sys.modules\n'
        'log = Path(sys.argv[2])\n'
        'with open(os.devnull) as lock:\n'
        '    process = ScriptProcess([sys.argv[1]], log, os.environ, [0], 2, lock)\n'
        'while process.poll() is None:\n'
        '    time.sleep(0.01)\n'
        'sys.exit(process.returncode)\n'
    )
    log = tmp_path / 'new.log'
    code = subprocess.run([sys.executable, '-c', program, str(script), str(log)], cwd=ROOT)
    assert code.returncode == 0
    facts = json.loads(log.read_text().splitlines()[0])
    assert facts['imported'] == (not torch.cuda.is_available())
    assert facts['cuda'] == torch.cuda.is_available() and facts['threads'] == 2


@pytest.mark.parametrize(
    ('text', 'code', 'words'),
    [
        ('import sys; sys.exit(3)', 3, ''),
        ('raise ValueError("no such thing")', 1, 'ValueError: no such thing'),
        ('import os, signal; os.kill(os.getpid(), signal.SIGKILL)', -9, ''),
    ],
)
def test_tells_how_it_ended(start, tmp_path, text, code, words):
    process = start(text)
    assert ended(process) == code and words in (tmp_path / 'script.log').read_text()
    assert (process.peak_memory_mb == 0) == (code < 0)


def test_holds_the_file_until_it_ends_and_a_signal_reaches_its_group(start, tmp_path):
    pids = tmp_path / 'pids'
    text = (
        'import os, sys, time\n'
        'child = os.fork()\n'
        'if child: open(sys.argv[1], "w").write(f"{os.getpid()} {child}\\n")\n'
        'time.sleep(60)\n'
    )
    process = start(text, str(pids))
    wait_for(lambda: pids.exists() and pids.read_text().endswith('\n'))
    with open(tmp_path / 'lock') as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send(signal.SIGTERM)
        assert ended(process) == -signal.SIGTERM
        wait_for(lambda: not any(map(process_runs, map(int, pids.read_text().split()))))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.send(signal.SIGTERM)  # to nobody


def test_ends_with_the_server_which_starts_again(start, tmp_path):
    pids = tmp_path / 'pids'
    text = 'import os, sys, time; print(os.getpid(), file=open(sys.argv[1], "w")); time.sleep(600)'
    process = start(text, str(pids))
    wait_for(lambda: pids.exists() and pids.read_text().endswith('\n'))
    os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    assert ended(process) != 0
    wait_for(lambda: not process_runs(int(pids.read_text())))
    assert ended(start('print(1)')) == 0


def test_a_signal_at_once_is_not_lost(start):
    process = start('import time; time.sleep(60)')
    process.send(signal.SIGTERM)
    assert ended(process) == -signal.SIGTERM


def test_ends_with_its_parent(start, tmp_path):
    """The parent is killed: nothing that it could do would end the script."""
    pids = tmp_path / 'pids'

    def run():
        multiprocessing.forkserver._forkserver._forkserver_pid = None
        start(
            'import os, sys, time; open(sys.argv[1], "w").write(f"{os.getpid()}\\n"); '
            'time.sleep(60)',
            str(pids),
        )
        time.sleep(60)

    parent = multiprocessing.get_context('fork').Process(target=run)
    parent.start()
    wait_for(lambda: pids.exists() and pids.read_text().endswith('\n'))
    assert process_runs(int(pids.read_text()))
    parent.kill()
    wait_for(lambda: not process_runs(int(pids.read_text())))


def test_the_environment_stays_as_it_was(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    monkeypatch.delenv('PYTHONWARNINGS', raising=False)
    before = dict(os.environ)
    start_server()
    assert dict(os.environ) == before
