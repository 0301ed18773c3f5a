"""Compare trainings with and without `compile` in the config, which is `torch.compile`.

Every head trains as a detector, and as a decomposed student with a teacher, on batches of several
lengths. Losses and weights must equal those of the steps that are not compiled. Each system has a
process of its own: compiling takes long, and much memory. Beside the differences, the table has
the seconds of the processor that the compiled training took, the number of graphs that were
compiled until the end of each step, how often the steps were cut, how often a function was
compiled again, and for how many functions PyTorch gave up doing so.

Example:
    python tools/reliability/compiled.py --backend aot_eager --json compiled.json
    python tools/reliability/compiled.py --only ActionFormer --lengths 16 16 24 24
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.reliability.distributed import (
    BATCH,
    TOLERANCE,
    WINDOWS,
    difference,
    head_configs,
    systems,
    train,
    windows,
)

LENGTHS = (16, 24, 32)


def compare(name: str, folder: Path, backend: str, lengths: Sequence[int]) -> dict:
    """Train a system twice.

    Args:
        name: Of the system.
        folder: Where to work.
        backend: Of ``torch.compile``.
        lengths: Steps of the longest window of each batch.

    Returns:
        Largest differences of ``losses`` and ``weights``, ``seconds`` of the processor, number of
        ``graphs`` after each step, ``breaks``: how often the steps were cut, by reason, ``again``:
        functions that were compiled again, with the reason, and ``given_up``: how many functions
        reached PyTorch's limit of that.
    """
    from torch._dynamo import config as limits
    from torch._dynamo import utils

    from tools.reliability.distributed_parts import GraphCounter

    config = next(config for known, config in systems(folder) if known == name)
    batches = [
        windows(length)[BATCH * step % WINDOWS :][:BATCH] for step, length in enumerate(lengths)
    ]
    loader = dict(
        dataset=[window for batch in batches for window in batch],
        batch_size=BATCH,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    eager = train(name, config, folder / 'eager', 'none', train_dataloader=loader)
    utils.set_compilation_metrics_limit(100_000)
    counter = GraphCounter()
    begin = time.process_time()
    found = train(
        name,
        config,
        folder / 'compiled',
        'none',
        train_dataloader=loader,
        hooks=[counter],
        cfg=dict(compile=dict(backend=backend)),
    )
    seconds = time.process_time() - begin
    losses, weights = difference(found, eager)
    compiled = {str(m.compile_id): m for m in utils.get_compilation_metrics()}
    # A function's compilations count from 0.
    numbers = {key: int(key.split('/')[1]) for key in compiled}
    again = [
        f'{compiled[key].co_name}: {compiled[key].recompile_reason}'.partition('  # ')[0]
        for key, number in numbers.items()
        if number
    ]
    breaks: Counter[str] = Counter()
    for words, times in utils.counters['graph_break'].items():
        breaks[reason_of(words)] += times
    return dict(
        losses=losses,
        weights=weights,
        seconds=seconds,
        graphs=counter.by_step,
        breaks=breaks,
        again=again,
        given_up=[*numbers.values()].count(limits.recompile_limit - 1),
    )


def reason_of(words: str) -> str:
    """PyTorch's reason for a break, without its hints, and what differs between machines."""
    words = ' '.join(words.partition('Hint:')[0].split())
    return re.sub(rf' at 0x[0-9a-f]+|{re.escape(sys.prefix)}', '', words)


def in_a_process(name: str, args: argparse.Namespace) -> dict:
    """:func:`compare` in a process of its own; ``error`` where it fails."""
    with tempfile.TemporaryDirectory(prefix='compiled_') as folder:
        words = [sys.executable, '-W', 'ignore', __file__, '--only', name, '--folder', folder]
        words += ['--backend', args.backend, '--lengths', *map(str, args.lengths)]
        done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        return dict(error=done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', metavar='SYSTEM', help='default: all')
    parser.add_argument('--backend', default='inductor', help="of torch.compile, or 'aot_eager'")
    parser.add_argument(
        '--lengths', type=int, nargs='+', default=LENGTHS, help=f'of the batches; {LENGTHS}'
    )
    parser.add_argument('--json', type=Path, help='write the differences to this file')
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit code: 1 if a system differs or does not compile."""
    if args.folder is not None:
        import torch

        torch.set_num_threads(1)
        print(json.dumps(compare(args.only[0], args.folder, args.backend, args.lengths)))
        return 0
    from mmtad_decomp.utils import format_table, write_json

    names = args.only or [
        kind.removesuffix('Head') + role for role in ('', ' student') for kind in head_configs()
    ]
    records = []
    for name in names:
        known = dict(system=name, backend=args.backend, lengths=[*args.lengths])
        records.append(known | in_a_process(name, args))
        print(json.dumps(records[-1]), file=sys.stderr, flush=True)
    keys = ('losses', 'weights', 'seconds')
    rows = [
        [r['system'], r['error'][:60], *[''] * 6]
        if 'error' in r
        else [
            r['system'],
            *(f'{r[key]:.2g}' for key in keys),
            ' '.join(map(str, r['graphs'])),
            str(sum(r['breaks'].values())),
            str(len(r['again'])),
            str(r['given_up']),
        ]
        for r in records
    ]
    titles = ['system', *keys, 'graphs', 'breaks', 'compiled again', 'given up']
    print(format_table(titles, rows))
    if args.json is not None:
        write_json(args.json, records, indent=1)
    differs = (max(r.get('losses', 1), r.get('weights', 1)) > TOLERANCE for r in records)
    return int(any(differs))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
