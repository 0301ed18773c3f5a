"""Scripts in processes that are forked from one which has imported what they need.

Imports nothing heavy: the server shall start at once, and a job set its environment up before
anything reads it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Protocol

PRELOADED = 'tools.preloaded'
_ROOT = Path(__file__).resolve().parents[1]


class _Duplicate(Protocol):
    """A descriptor on its way to another process."""

    def detach(self) -> int:
        """Take it out there."""


class _Shared:
    """A file that a job inherits and keeps open until it ends."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple:
        return _Shared._received, (DupFd(self.descriptor),)

    @staticmethod
    def _received(duplicate: _Duplicate) -> _Shared:
        return _Shared(duplicate.detach())


def start_server() -> None:
    """Start the process that scripts are forked from, unless it runs; returns at once.

    It imports :mod:`tools.preloaded`, which takes seconds, and ends with this process.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get('PYTHONPATH')]))
    # Python 3.11's server does not take over sys.path. One thread: forks choose their own number.
    settings = dict(PYTHONPATH=path, PYTHONWARNINGS='ignore', OMP_NUM_THREADS='1')
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        multiprocessing.set_forkserver_preload([PRELOADED])
        multiprocessing.forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class ScriptProcess:
    """A Python script that leads a process group of its own and ends with this process.

    Args:
        command: Path of the script and its arguments.
        log: Its output is appended.
        environment: Its environment variables, all of them.
        cores: Processor cores that it may use.
        threads: Threads for its computations.
        inherited: A file that it holds open until it ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        cores: Sequence[int],
        threads: int,
        inherited: IO[str],
    ) -> None:
        start_server()
        self._memory, memory = multiprocessing.Pipe(duplex=False)
        held = _Shared(inherited.fileno())
        arguments = [*command], str(log), {**environment}, [*cores], threads, held, memory
        forks = multiprocessing.get_context('forkserver')
        self._process = forks.Process(target=_run, args=arguments)
        self._process.start()
        memory.close()
        self.returncode: int | None = None
        self.peak_memory_mb = 0.0

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, negative after a signal; None while it runs."""
        if self.returncode is None and self._process.exitcode is not None:
            self.returncode = self._process.exitcode
            # What it left behind; the script itself where it is the server that has ended.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(EOFError):  # a killed one has not told
                self.peak_memory_mb = self._memory.recv()
            self._memory.close()
        return self.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of its group, also those that it left behind."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it does not lead a group yet, or all have ended
            if self.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)


def _run(
    command: list[str],
    log: str,
    environment: dict[str, str],
    cores: list[int],
    threads: int,
    inherited: _Shared,
    memory: Connection,
) -> None:
    """Become a script: the body of a forked process."""
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, cores)
    if 'torch' in sys.modules:  # it has read OMP_NUM_THREADS before
        sys.modules['torch'].set_num_threads(threads)
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name='__main__')
    finally:
        memory.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
