"""Tools in processes that start from one with everything imported."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tools.command_line import run_main

from .cases import Case, demand_names, make_cases, write_inputs

PATIENCE = 600.0
"""Seconds after which a tool counts as hung."""


class ToolProcess:
    """A tool that runs in a folder; its output is appended to ``output.log`` there.

    The process is forked from this one, whose imports it has, so that a start costs little. It
    leads a session, as a job of a launcher does.

    Args:
        case: The tool.
        folder: Where it works.
        home: Folder of the log; default: ``folder``. On a full disk it must be another one.
    """

    def __init__(self, case: Case, folder: Path, home: Path | None = None) -> None:
        self.log = (home or folder) / 'output.log'
        self.begin = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(case, folder)
        self.returncode: int | None = None

    def _become(self, case: Case, folder: Path) -> None:
        code = 1
        try:
            os.setsid()
            output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for descriptor in (1, 2):
                os.dup2(output, descriptor)
            os.chdir(folder)
            sys.argv = [case.module, *case.arguments(folder)]
            main = importlib.import_module(case.module).main
            code = run_main(main, case.arguments(folder))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self.begin

    def poll(self) -> int | None:
        """Exit code, negative after a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, at most so long; returns the exit code, or None."""
        limit = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        return self.returncode

    def end(self) -> None:
        """Kill it and its descendants."""
        for pid in (self.pid, *descendants(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.005)

    def last_line(self, word: str = '') -> str:
        """The last line of its output that is not empty, of those with a word if there are any."""
        text = self.log.read_text(encoding='utf-8', errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [*lines[-1:], *(line for line in lines if word and word in line)][-1]


def descendants(pid: int) -> list[int]:
    """Children of a process, their children and so on."""
    parents: dict[int, list[int]] = {}
    for folder in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # After the name, which is in brackets: state, parent.
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found: list[int] = []
    pending = [pid]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def preload(cases: Sequence[Case]) -> None:
    """Import what the tools import, so that forks need not."""
    import torch

    torch.set_num_threads(1)
    for case in cases:
        importlib.import_module(case.module)
    for name in ('mmtad_decomp.apis', 'mmtad_decomp.visualization', 'tools._cli', 'torch._dynamo'):
        importlib.import_module(name)


def run_once(case: Case, folder: Path, home: Path | None = None) -> tuple[dict[str, str], float]:
    """Run a tool that is left alone; returns its outcome and its seconds.

    Args:
        case: The tool.
        folder: Where it works; made where it is missing.
        home: See :class:`ToolProcess`.

    Raises:
        RuntimeError: If it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = ToolProcess(case, folder, home)
    if process.wait(PATIENCE) != 0:
        process.end()
        raise RuntimeError(
            f'{case.name} fails when it is left alone (exit code {process.returncode}): '
            f'{process.last_line()}; its output is {process.log}'
        )
    return case.outcome(folder), process.seconds


def ready_cases(folder: Path, only: Sequence[str] | None) -> list[Case]:
    """Tools that can start: inputs written, modules imported, a model trained for inference.

    Args:
        folder: Where to work; what is there is used again.
        only: Names of tools; None: all.

    Raises:
        ValueError: If there is no tool of a name.
    """
    inputs = folder / 'inputs'
    write_inputs(inputs)
    cases = make_cases(inputs)
    demand_names(only, cases)
    preload(cases)
    chosen = [case for case in cases if only is None or case.name in only]
    infers = any(case.name == 'infer' for case in chosen)
    if infers and not (inputs / 'trained').exists():
        run_once(cases[0], folder / 'for_inference')
        shutil.move(folder / 'for_inference/work', inputs / 'trained')
    return chosen
