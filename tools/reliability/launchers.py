"""Train with the launch scripts, kill a process of several, and compare.

Each launch trains the same small detector in two processes over gloo; the checkpoints of all must
be equal, bit for bit, to those of `tools/dist_train.sh` left alone:

- `torchrun`: `tools/dist_train.sh`, left alone.
- `slurm`: `tools/slurm_train.sh`, with a stand-in for `srun` that starts two processes with the
  variables that SLURM sets.
- `machines`: `tools/dist_train.sh` once in each of two network namespaces (root only).
- `death`: one process is killed. The run must end and name it, and `--resume` must go on.
- `restart`: one process is killed under `--max-restarts=1`. The same run must go on by itself.

Example:
    python tools/reliability/launchers.py
    python tools/reliability/launchers.py --only restart --times 10
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

PATIENCE = 900.0
"""Seconds after which a launch counts as hung."""

_SRUN = """#!/bin/sh
# Starts what follows `python` in the arguments once for each task, as srun does.
for word; do
    case $word in --ntasks=*) tasks=${word#--ntasks=} ;; esac
done
while [ "$1" != python ]; do shift; done
export SLURM_NTASKS=$tasks SLURM_NODELIST=localhost SLURM_JOB_ID=1
task=0 pids=
while [ "$task" -lt "$tasks" ]; do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & pids="$pids $!"
    task=$((task + 1))
done
for pid in $pids; do wait "$pid" || exit $?; done
"""
_SCONTROL = '#!/bin/sh\necho 127.0.0.1\n'


class Launch:
    """A launch script at work; its output goes to a file.

    Args:
        folder: The work directory is ``work`` in it.
        command: Words of the command; ``{}`` stands for the config.
        config: Of the training.
        environment: Further variables.
    """

    def __init__(self, folder: Path, command: list[str], config: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, folder / f'output{len(list(folder.iterdir()))}.log'
        words = [str(config) if word == '{}' else word for word in command]
        words += ['--work-dir', str(folder / 'work'), '--cfg-options', 'experiment_name=launch']
        variables = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        variables['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
        with open(self.log, 'wb') as output:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env={**variables, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Wait for the end; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: If it hangs; it is ended then.
        """
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def kill_second(self) -> None:
        """Kill the second training process once a checkpoint is there.

        Raises:
            RuntimeError: If the run ends before.
        """
        from tools.reliability.forks import descendants

        while not list(self.folder.glob('work/epoch_*.pth')):
            if self.process.poll() is not None:
                raise RuntimeError(f'ended without a checkpoint, see {self.log}')
            time.sleep(0.05)
        for pid in descendants(self.process.pid):
            with contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError):
                if b'RANK=1' in Path(f'/proc/{pid}/environ').read_bytes().split(b'\0'):
                    os.kill(pid, signal.SIGKILL)
                    return
        raise RuntimeError(f'has no second process, see {self.log}')

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding='utf-8', errors='replace')


def dist_train(folder: Path, config: Path, *flags: str, **environment: str) -> Launch:
    """``tools/dist_train.sh`` with two processes, on a port that is free."""
    from tools.reliability.cases import ROOT

    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    command = ['bash', str(ROOT / 'tools/dist_train.sh'), '{}', '2', *flags]
    return Launch(folder, command, config, **{'PORT': port, **environment})


def finish(*launches: Launch) -> list[str]:
    """Wait for launches; returns those that failed, in words."""
    codes = [launch.wait() for launch in launches]
    return [f'exit code {c}, see {run.log}' for c, run in zip(codes, launches) if c]


def by_torchrun(folder: Path, config: Path) -> list[str]:
    """Left alone."""
    return finish(dist_train(folder, config))


def by_slurm(folder: Path, config: Path) -> list[str]:
    """With stand-ins for SLURM's commands."""
    from tools.reliability.cases import ROOT

    programs = folder / 'bin'
    programs.mkdir(parents=True)
    for name, text in (('srun', _SRUN), ('scontrol', _SCONTROL)):
        (programs / name).write_text(text, encoding='utf-8')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ['PATH']])
    command = ['bash', str(ROOT / 'tools/slurm_train.sh'), 'partition', 'job', '{}']
    settings = dict(GPUS='2', GPUS_PER_NODE='2', MASTER_PORT='29611')
    return finish(Launch(folder, ['env', f'PATH={path}', *command], config, **settings))


@contextlib.contextmanager
def machines() -> Iterator[list[str]]:
    """Two network namespaces with addresses 10.211.0.1 and 10.211.0.2, joined by a cable.

    Raises:
        subprocess.CalledProcessError: If the user may not make them.
    """
    names = [f'mmtad{os.getpid()}{letter}' for letter in 'ab']

    def ip(*words: str) -> None:
        subprocess.run(['ip', *words], check=True, capture_output=True)

    try:
        for name in names:
            ip('netns', 'add', name)
        ends = [part for name in names for part in ('name', 'eth0', 'netns', name)]
        ip('link', 'add', *ends[:4], 'type', 'veth', 'peer', *ends[4:])
        for index, name in enumerate(names, start=1):
            ip('-n', name, 'addr', 'add', f'10.211.0.{index}/24', 'dev', 'eth0')
            for device in ('lo', 'eth0'):
                ip('-n', name, 'link', 'set', device, 'up')
        yield names
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)


def on_two_machines(folder: Path, config: Path) -> list[str]:
    """The script once on each of two machines."""
    from tools.reliability.cases import ROOT

    with machines() as names:
        launches = []
        for rank, name in enumerate(names):
            command = [
                'ip',
                'netns',
                'exec',
                name,
                'bash',
                str(ROOT / 'tools/dist_train.sh'),
                '{}',
                '1',
            ]
            settings = dict(NNODES='2', NODE_RANK=str(rank), MASTER_ADDR='10.211.0.1')
            settings['GLOO_SOCKET_IFNAME'] = 'eth0'
            launches.append(Launch(folder, command, config, **settings))
        return finish(*launches)


def after_a_death(folder: Path, config: Path) -> list[str]:
    """A killed process ends the run; a second one resumes."""
    launch = dist_train(folder, config)
    launch.kill_second()
    code, text = launch.wait(), launch.text()
    faults = [] if code else ['the run ends well without one of its processes']
    if 'Signal 9 (SIGKILL)' not in text or 'rank      : 1' not in text:
        faults.append(f'the message does not name the process, see {launch.log}')
    return faults + finish(dist_train(folder, config, '--resume'))


def restarted(folder: Path, config: Path) -> list[str]:
    """torchrun starts the processes again."""
    words = '--max-restarts=1 --rdzv-backend=c10d --rdzv-endpoint=127.0.0.1:0'
    store = dict(TORCH_DISABLE_SHARE_RDZV_TCP_STORE='1')  # a new one for each start
    launch = dist_train(folder, config, '--resume', TORCHRUN_ARGS=words, **store)
    launch.kill_second()
    return finish(launch)


LAUNCHES: Mapping[str, Callable[[Path, Path], list[str]]] = {
    'torchrun': by_torchrun,
    'slurm': by_slurm,
    'machines': on_two_machines,
    'death': after_a_death,
    'restart': restarted,
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=LAUNCHES, default=list(LAUNCHES))
    parser.add_argument('--times', type=int, default=1, help='how often; default: once')
    parser.add_argument('--folder', type=Path, help='where to work; default: a temporary one')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Launch and compare; returns the exit code: 1 if there was a fault."""
    from mmtad_decomp.utils import format_table
    from tools.reliability.cases import same, training_outcome, write_inputs

    folder = (args.folder or Path(tempfile.mkdtemp(prefix='launchers_'))).absolute()
    write_inputs(folder / 'inputs', epochs=3)
    config = folder / 'inputs/baseline.py'
    wanted: dict[str, str] = {}
    rows: list[list[str]] = []
    chosen = [name for name in args.only if name != 'torchrun']
    for name in ['torchrun', *(name for name in chosen for _ in range(args.times))]:
        begin = time.monotonic()
        target = folder / f'{name}{len(rows)}'
        faults = LAUNCHES[name](target, config)
        found = training_outcome(target / 'work')
        wanted = wanted or found
        faults += [f'{item} differs' for item in same(found, wanted)]
        rows.append([name, f'{time.monotonic() - begin:.0f}', '; '.join(faults) or 'none'])
        print(*rows[-1], flush=True)
    print(f'\n{format_table(["launch", "seconds", "faults"], rows)}\n{folder}')
    return int(any(row[2] != 'none' for row in rows))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
