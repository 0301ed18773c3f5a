"""Training and testing as processes: where they run, how far they are, how they end."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmtad_decomp.utils import WorkDirInUseError, WorkDirLock, usable_cores
from tools.script_process import ScriptProcess

from .definition import StudyError

_EPOCH = re.compile(rb'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')
_ITERATION = re.compile(rb'Iter\(train\)\s+\[\s*(\d+)/(\d+)\]')
_TAIL = 1 << 15


@dataclass(frozen=True)
class Slot:
    """Where one job runs.

    Attributes:
        cores: Processor cores that its processes may use.
        threads: Threads for its computations.
        gpu: Value of ``CUDA_VISIBLE_DEVICES``; None leaves it as it is.
    """

    cores: tuple[int, ...]
    threads: int = 1
    gpu: str | None = None


def make_slots(jobs: int | None = None) -> list[Slot]:
    """Share the machine out: a GPU each where there are any, else equal parts of the cores.

    Jobs on GPUs share all cores: how much each needs varies with its data loading.

    Args:
        jobs: Number of jobs; None: one for each GPU, or else for each core.
    """
    cores = usable_cores()
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    count = torch.cuda.device_count()
    gpus = visible.split(',')[:count] if visible else [str(i) for i in range(count)]
    jobs = jobs or len(gpus) or len(cores)
    share = max(1, len(cores) // jobs)
    slots = []
    for index in range(jobs):
        start = index * share % len(cores)
        if gpus:
            slots.append(Slot(tuple(cores), share, gpus[index % len(gpus)]))
        else:
            slots.append(Slot(tuple(cores[start : start + share]), share))
    return slots


def lock_work_dir(folder: Path) -> WorkDirLock:
    """One study at a time in a work directory.

    The jobs inherit the lock, so that those of a killed study keep it until they end.

    Args:
        folder: The work directory.

    Raises:
        StudyError: If another process holds it.
    """
    try:
        return WorkDirLock(folder, 'study')
    except WorkDirInUseError as error:
        raise StudyError(str(error)) from error


class Process(ScriptProcess):
    """A script on the cores of a slot.

    Args:
        command: Path of the script and its arguments.
        log: Its output is appended.
        slot: Where it runs.
        lock: Lock of the work directory.
    """

    def __init__(self, command: Sequence[str], log: Path, slot: Slot, lock: WorkDirLock) -> None:
        self.log = log
        self.begin = time.monotonic()
        environment = {**os.environ, 'OMP_NUM_THREADS': str(slot.threads)}
        if slot.gpu is not None:
            environment['CUDA_VISIBLE_DEVICES'] = slot.gpu
        log.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(command, log, environment, slot.cores, slot.threads, lock.file)
        lock.note(self.pid)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self.begin

    def tail(self, lines: int = 15) -> str:
        """The end of the log."""
        return '\n'.join(_end_of(self.log).decode(errors='replace').splitlines()[-lines:])


def end_all(processes: Sequence[Process], patience: float = 10.0) -> None:
    """Ask processes to end, and kill what still runs after ``patience`` seconds."""
    for process in processes:
        process.send(signal.SIGTERM)
    limit = time.monotonic() + patience
    while any(process.poll() is None for process in processes) and time.monotonic() < limit:
        time.sleep(0.05)
    for process in processes:
        process.send(signal.SIGKILL)  # also what is left of a group whose leader has ended
        while process.poll() is None:
            time.sleep(0.05)


def _end_of(log: Path) -> bytes:
    with open(log, 'rb') as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read()


def training_progress(log: Path, epochs: int | None) -> tuple[float, str]:
    """Share of a training that is done, in [0, 1], and the same in words.

    Args:
        log: Output of ``tools/train.py``.
        epochs: Epochs of the training; None if it counts iterations.
    """
    if not log.is_file():
        return 0.0, 'starts'
    text = _end_of(log)
    if epochs is None:
        found = [tuple(map(int, match)) for match in _ITERATION.findall(text)]
        done, total = found[-1] if found else (0, 1)
        return done / total, f'iteration {done}/{total}' if found else 'starts'
    found = [tuple(map(int, match)) for match in _EPOCH.findall(text)]
    if not found:
        return 0.0, 'starts'
    epoch, step, steps = found[-1]
    share = (epoch - 1 + step / steps) / epochs
    return share, f'epoch {epoch}/{epochs} ({100 * share:.0f} %)'
