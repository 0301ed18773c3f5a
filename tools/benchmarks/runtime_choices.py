"""What threads and malloc's settings cost or save in a training step on this machine.

Each choice has a process of its own, and the processes take turns: a step of each, then the next
round. So whatever else the machine does falls on all of them alike.

Example:
    python tools/benchmarks/runtime_choices.py configs/baseline/actionformer_tsm18_fir.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

MALLOC = {
    'default': {},
    'environment': {
        'MALLOC_MMAP_THRESHOLD_': '4294967296',
        'MALLOC_TRIM_THRESHOLD_': '4294967296',
        'MALLOC_TOP_PAD_': '268435456',
    },
    'tools': {},
}
"""Environment of each choice: glibc's own, its variables, and what the tools set by mallopt."""


def work(config: str, malloc: str) -> None:
    """Take a step for each line of standard input; print its seconds and page faults as JSON."""
    from mmtad_decomp.utils import keep_freed_memory
    from tools.benchmarks.training_step import TrainingStep

    if malloc == 'tools':
        assert keep_freed_memory()
    step = TrainingStep(config)
    for _ in sys.stdin:
        before, begin = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        wall = step.seconds()
        after = resource.getrusage(resource.RUSAGE_SELF)
        row = dict(
            wall=wall,
            processor=time.process_time() - begin,
            faults=after.ru_minflt - before.ru_minflt,
            mib=after.ru_maxrss / 1024,
        )
        print(json.dumps(row), flush=True)


def start(config: str, threads: int, malloc: str) -> subprocess.Popen:
    """A process of one choice."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('MALLOC_', 'GLIBC_'))}
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', __file__, config, '--worker', malloc],
        env={**clean, **MALLOC[malloc], 'OMP_NUM_THREADS': str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def take_step(process: subprocess.Popen) -> dict:
    """One step of a process, while the others wait.

    Raises:
        RuntimeError: If it ended.
    """
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write('\n')
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith('{'):
            return json.loads(line)
    raise RuntimeError(f'{process.args!r} ended with exit code {process.wait()}')


def main(argv: list[str] | None = None) -> None:
    """Print a table, and write the rows where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, os.cpu_count() or 1])
    parser.add_argument('--rounds', type=int, default=7, help='steps of each, after two')
    parser.add_argument('--json', help='write the rows to this file')
    parser.add_argument('--worker', choices=MALLOC, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker is not None:
        work(args.config, args.worker)
        return
    from mmtad_decomp.utils import processor_name, write_json

    choices = [(threads, malloc) for threads in args.threads for malloc in MALLOC]
    processes = [start(args.config, *choice) for choice in choices]
    taken: list[list[dict]] = [[] for _ in choices]
    for _ in range(args.rounds + 2):
        for process, steps in zip(processes, taken):
            steps.append(take_step(process))
    for process in processes:
        process.communicate()
    print(f'{args.config} on {processor_name()}, {os.cpu_count()} cores: medians of {args.rounds}')
    print('| threads | malloc | page faults | processor seconds | seconds | peak MiB |')
    print('| ---: | --- | ---: | ---: | ---: | ---: |')
    rows = []
    for (threads, malloc), steps in zip(choices, taken):
        medians = {key: statistics.median(s[key] for s in steps[2:]) for key in steps[0]}
        rows.append(dict(threads=threads, malloc=malloc, **medians))
        cells = (
            f'{medians["faults"]:.0f}',
            f'{medians["processor"]:.3f}',
            f'{medians["wall"]:.3f}',
            f'{medians["mib"]:.0f}',
        )
        print(f'| {threads} | {malloc} | {" | ".join(cells)} |')
    if args.json:
        head = dict(config=args.config, processor=processor_name(), cores=os.cpu_count())
        write_json(args.json, dict(head, rounds=args.rounds, rows=rows))


if __name__ == '__main__':
    sys.exit(run_main(main))
