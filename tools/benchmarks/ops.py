"""Time and memory of the compiled operators against the others that install.

python tools/benchmarks/ops.py --json docs/en/benchmarks/ops.json

Every row has its contenders interleaved in one process, after a warm-up; times are medians. Rows
are written as they come. On CUDA sizes and peers are fewer: compiling the others takes minutes.
``peak_mb`` is what a call allocates at most, beyond its inputs. A peer that can't run a row is
printed with its reason and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from torch import Tensor

    Contender = Callable[..., Tensor]

OPS = {'attention': 'local_attention', 'fusion': 'local_attentive_fusion', 'nms': None}

FLEX_SIZES = [(4, 256, 128), (4, 2304, 128)]
"""(H, T, D) at which flex_attention is tried: compiling it takes half a minute for each."""

CUDA_PEERS = ['SDPA, band mask', 'flex_attention', 'NATTEN']


class Case(NamedTuple):
    """One size of one operator; sizes are (N, H, T, D) or (N, C, T).

    With ``columns`` the steps of a channel lie together, as a convolution leaves them: the layout
    that the models have.
    """

    op: str
    size: tuple[int, ...]
    window: int | None
    dtype: str = 'float32'
    columns: bool = False

    @property
    def shape(self) -> str:
        names = 'NHTD' if len(self.size) == 4 else 'NCT'
        sizes = ' '.join(f'{name}={size}' for name, size in zip(names, self.size))
        return f'{sizes} w={self.window}{" columns" * self.columns}'

    def random(self, device: str) -> Tensor:
        """Normally distributed values in the case's size, type and memory layout."""
        import torch

        dtype = getattr(torch, self.dtype)
        if not self.columns:
            return torch.randn(self.size, device=device, dtype=dtype)
        *others, steps, dims = self.size
        return torch.randn((*others, dims, steps), device=device, dtype=dtype).transpose(-1, -2)


def attention_cases() -> list[Case]:
    """Every length and head, then windows, batches, bfloat16 and columns at some of them."""
    heads = [(4, 128), (8, 32)]
    cases = [(1, h, t, d, 19) for t in (64, 256, 512, 2304, 4096) for h, d in heads]
    cases += [(1, 4, t, 128, w) for w in (7, 63) for t in (256, 2304)]
    cases += [(2, 4, 2304, 128, 19), (16, 4, 64, 128, 19), (16, 8, 512, 32, 19)]
    rows = [Case('local_attention', tuple(size), window) for *size, window in cases]
    rows += [Case('local_attention', (1, 4, 2304, 128), 19, 'bfloat16')]
    sizes = [(1, 4, steps, 128) for steps in (20, 64, 256, 2304)]
    return rows + [Case('local_attention', size, 19, columns=True) for size in sizes]


def fusion_cases() -> list[Case]:
    """Lengths and windows of the fusion."""
    cases = [(1, 512, t, w) for t in (64, 256, 2304, 4096) for w in (19, None)]
    cases += [(2, 512, 2304, 7), (2, 512, 2304, 63), (16, 256, 512, 19)]
    rows = [Case('local_attentive_fusion', tuple(size), window) for *size, window in cases]
    return rows + [Case('local_attentive_fusion', (2, 512, 2304), 19, 'bfloat16')]


def cuda_cases() -> list[Case]:
    """Sizes that tell how a GPU does, in a minute or two."""
    cases = [
        Case('local_attention', (batch, 4, steps, 128), 19, dtype)
        for batch, steps in ((1, 256), (16, 2304))
        for dtype in ('float32', 'bfloat16')
    ]
    return cases + [
        Case('local_attentive_fusion', (16, 512, 2304), window, dtype)
        for window in (19, None)
        for dtype in ('float32', 'bfloat16')
    ]


def fusion_formula(window: int | None) -> Contender:
    """Local attentive fusion by PyTorch's average pooling, without masks."""
    import torch

    def fuse(value: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if window is None:
            pooled = query.mean(-1, keepdim=True)
        else:
            pooled = torch.nn.functional.avg_pool1d(
                query, window, 1, window // 2, count_include_pad=False
            )
        return value * torch.sigmoid(pooled * key) + value

    return fuse


def contenders(case: Case, device: str) -> Iterator[tuple[str, Contender]]:
    """Ours first, then its peers, as functions of three tensors."""
    import torch

    from mmtad_decomp.ops import local_attention, local_attentive_fusion
    from tools.benchmarks.attention_peers import PEERS

    if case.op == 'local_attention':
        assert case.window is not None
        yield 'ours', lambda q, k, v: local_attention(q, k, v, None, case.window)
        for name, build in PEERS.items():
            if device == 'cuda' and name not in CUDA_PEERS:
                continue
            if name == 'flex_attention' and case.size[1:] not in FLEX_SIZES:
                continue
            try:
                yield name, build(case.window)
            except (ImportError, RuntimeError) as error:
                print(f'  {name}: left out, {_first_line(error)}')
    else:
        yield 'ours', lambda v, q, k: local_attentive_fusion(v, q, k, None, case.window)
        yield 'eager', fusion_formula(case.window)
        yield 'torch.compile', torch.compile(fusion_formula(case.window))


def passes(run: Contender, inputs: list[Tensor], grad: Tensor) -> dict[str, Callable[[], object]]:
    """A forward call without gradients, and one forward and backward."""
    import torch

    frozen = [x.detach() for x in inputs]

    def forward() -> None:
        with torch.no_grad():
            run(*frozen)

    def both() -> None:
        torch.autograd.grad(run(*inputs), inputs, grad)

    return {'forward': forward, 'forward+backward': both}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:100]


def _synchronize(device: str) -> None:
    import torch

    if device == 'cuda':
        torch.cuda.synchronize()


def timed(call: Callable[[], object], device: str, times: int = 1) -> float:
    """Milliseconds of one call, over ``times`` of them; see ``--threads`` for the clock."""
    import torch

    alone = device == 'cpu' and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    _synchronize(device)
    begin = clock()
    for _ in range(times):
        call()
    _synchronize(device)
    return (clock() - begin) * 1e3 / times


def interleaved(
    calls: dict[str, Callable[[], object]], device: str, rounds: int
) -> dict[str, float]:
    """Median milliseconds of every call; each round runs all of them, in turn."""
    repeats = {}
    for name, call in calls.items():
        call()
        once = min(timed(call, device) for _ in range(2))
        repeats[name] = max(1, min(200, int(3 / once))), once
    times: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds):
        for name, call in calls.items():
            count, once = repeats[name]
            if index < 3 or once < 200:
                times[name].append(timed(call, device, count))
    return {name: statistics.median(values) for name, values in times.items()}


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Drop what the profiler's C++ code prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)


def peak_mb(call: Callable[[], object], device: str) -> float:
    """Most megabytes that a call holds at once, by torch's own account of its allocations."""
    import torch

    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with (
        _silence(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile,
    ):
        call()
    kind = torch._C._profiler._EventType.Allocation
    pending = list(profile.profiler.kineto_results.experimental_event_tree())
    allocations = []
    while pending:
        event = pending.pop()
        pending.extend(event.children)
        if event.tag == kind:
            allocations.append((event.start_time_ns, event.extra_fields.alloc_size))
    held = peak = 0
    for _, size in sorted(allocations):
        held += size
        peak = max(peak, held)
    return peak / 2**20


def copy_ms(num_bytes: int, device: str) -> float:
    """Milliseconds that a copy takes which reads and writes ``num_bytes`` in all."""
    import torch

    source = torch.randn(num_bytes // 8, device=device)
    target = torch.empty_like(source)
    return interleaved({'copy': lambda: target.copy_(source)}, device, 15)['copy']


def rows_of(case: Case, device: str, rounds: int) -> Iterator[dict]:
    """One row for every pass and peer."""
    import torch

    torch.manual_seed(0)
    torch._dynamo.reset()
    *inputs, grad = (case.random(device) for _ in range(4))
    for x in inputs:
        x.requires_grad_()
    calls: dict[str, dict[str, Callable[[], object]]] = {}
    for name, run in contenders(case, device):
        for kind, call in passes(run, inputs, grad).items():
            try:
                call()
                calls.setdefault(kind, {})[name] = call
            except Exception as error:
                print(f'  {name}, {kind}: left out, {_first_line(error)}')
    tensors = {'forward': 4, 'forward+backward': 12}
    for kind, by_name in calls.items():
        times = interleaved(by_name, device, rounds)
        peaks = {name: peak_mb(call, device) for name, call in by_name.items()}
        for peer in (name for name in by_name if name != 'ours'):
            yield dict(
                op=case.op,
                shape=case.shape,
                dtype=case.dtype,
                device=device,
                **{'pass': kind},
                ours_ms=times['ours'],
                peer=peer,
                peer_ms=times[peer],
                ratio=times[peer] / times['ours'],
                peak_mb=peaks['ours'],
                peer_peak_mb=peaks[peer],
                copy_ms=copy_ms(tensors[kind] * grad.numel() * grad.element_size(), device),
            )


def describe_machine(device: str) -> dict:
    """Machine that the numbers were measured on."""
    import torch

    from mmtad_decomp.utils import processor_name

    return dict(
        processor=torch.cuda.get_device_name() if device == 'cuda' else processor_name(),
        threads=torch.get_num_threads(),
        capability=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
    )


def table(rows: list[dict]) -> str:
    """Markdown: a line for every op, shape and pass, against the fastest of its peers."""
    lines = [
        '| op | shape | pass | this package, ms | fastest peer | its ms | ratio '
        '| MiB, this package / peer | x copy |',
        '| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: |',
    ]
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = (row['op'], row['shape'], row['dtype'], row['pass'], row.get('case'))
        groups.setdefault(key, []).append(row)
    for (op, shape, dtype, kind, case), group in groups.items():
        best = min(group, key=lambda row: row['peer_ms'])
        size = f'{shape} {dtype}' if dtype != 'float32' else shape
        memory = copy = ''
        if best['peak_mb'] is not None:
            memory = f'{best["peak_mb"]:.1f} / {best["peer_peak_mb"]:.1f}'
        if 'copy_ms' in best:
            copy = f'{best["ours_ms"] / best["copy_ms"]:.1f}'
        cells = (
            op,
            f'{size}, {case}' if case else size,
            kind,
            f'{best["ours_ms"]:.3f}',
            best['peer'],
            f'{best["peer_ms"]:.3f}',
            f'{best["ratio"]:.1f}x',
            memory,
            copy,
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def all_rows(args: argparse.Namespace) -> Iterator[dict]:
    """The rows of the command line's choice, as they are measured."""
    from tools.benchmarks.nms_cases import nms_rows

    cases = cuda_cases() if args.device == 'cuda' else attention_cases() + fusion_cases()
    for case in cases:
        if case.op in map(OPS.get, args.ops) and args.only in case.shape:
            print(f'{case.op} {case.shape} {case.dtype}', flush=True)
            yield from rows_of(case, args.device, args.rounds)
    if 'nms' in args.ops and args.device == 'cpu':
        for row in nms_rows(rounds=args.rounds):
            candidates, classes = row['shape']
            row['shape'] = f'{candidates} candidates, {classes} classes'
            print(row['op'], row['shape'], row['case'], end='')
            yield row


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the rows go')
    parser.add_argument('--table', type=Path, help='where a Markdown table of them goes')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--threads', type=int, default=2, help='with one, its processor time is measured'
    )
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument(
        '--ops', nargs='+', default=list(OPS), choices=list(OPS),
    )  # fmt: skip
    parser.add_argument('--only', default='', help='run the shapes that contain this text')
    args = parser.parse_args(argv)

    import torch

    from mmtad_decomp.ops import DEVICES
    from mmtad_decomp.utils import atomic_write, write_json

    if args.device not in DEVICES:
        raise SystemExit(f'the operators are not built for {args.device}')
    torch.set_num_threads(args.threads)
    machine = describe_machine(args.device)
    print(machine)
    rows = []
    for row in all_rows(args):
        rows.append(row)
        print_row(row)
        write_json(args.json, dict(machine=machine, rows=rows))
    if args.table:
        with atomic_write(args.table, 'w') as file:
            file.write(table(rows))


def print_row(row: dict) -> None:
    """One line: times, ratio and peaks."""
    memory = ''
    if row['peak_mb'] is not None:
        memory = f', {row["peak_mb"]:.1f} against {row["peer_peak_mb"]:.1f} MiB'
    print(
        f'  {row["pass"]}: {row["ours_ms"]:.3f} ms, {row["peer"]} {row["peer_ms"]:.3f} ms, '
        f'{row["ratio"]:.2f}x{memory}',
        flush=True,
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
