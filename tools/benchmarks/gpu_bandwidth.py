"""Time the compiled operators on a GPU against the copying of what they must read and write.

python tools/benchmarks/gpu_bandwidth.py --json gpu_bandwidth.json

Each operator has to read every input and write every output once. `share` is those bytes over the
time, as a share of the bandwidth of a large device-to-device copy on the same GPU (bytes read
plus bytes written). Times are medians over calls on inputs taken in turn, whose sum is
several times the cache.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = ('float32', 'bfloat16')
ALL = [True] * 3  # Gradients.


def median_ms(calls: list[Callable[[], object]], repeats: int) -> float:
    """Median milliseconds of one call, by device events; the calls take turns."""
    import torch

    for call in calls * 2:
        call()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for i, (begin, end) in enumerate(events):
        begin.record()
        calls[i % len(calls)]()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in events)


def copy_bandwidth(repeats: int) -> float:
    """Bytes per second, read plus written, of a copy of 1 GiB."""
    import torch

    source = torch.randn(2**28, device='cuda')
    target = torch.empty_like(source)
    ms = median_ms([lambda: target.copy_(source)], repeats)
    return 2 * source.numel() * source.element_size() / ms * 1e3


def tail_mask(batch: int, steps: int) -> Tensor:
    """Sequences that end at different steps."""
    import torch

    ends = torch.linspace(steps // 2, steps, batch, device='cuda')
    return torch.arange(steps, device='cuda')[None] < ends[:, None]


def attention_calls(
    args: argparse.Namespace, dtype: torch.dtype, sets: int, columns: bool
) -> dict:
    """Calls of the attention's passes, and the bytes that each has to read and write.

    ``columns``: heads lie in memory as the models' convolutions leave them, ``(N, H, D, T)``.
    """
    import torch

    ops, shape = torch.ops.mmtad_decomp, (args.batch, 4, args.steps, 128)

    def make() -> Tensor:
        x = torch.randn(shape, device='cuda', dtype=dtype)
        return x.transpose(2, 3).contiguous().transpose(2, 3) if columns else x

    mask = tail_mask(args.batch, args.steps) if args.mask else None
    forward, backward = [], []
    for _ in range(sets):
        grad, *inputs = (make() for _ in range(4))
        _, lse = ops.local_attention(*inputs, mask, args.window)
        forward.append(lambda x=inputs: ops.local_attention(*x, mask, args.window))
        backward.append(
            lambda g=grad, x=inputs, s=lse: ops.local_attention_backward(
                g, *x, mask, s, args.window, ALL
            )
        )
    size = grad.numel() * grad.element_size()
    return {'forward': (forward, 4 * size), 'backward': (backward, 7 * size)}


def fusion_calls(
    args: argparse.Namespace, dtype: torch.dtype, sets: int, window: int | None
) -> dict:
    """The same for the fusion."""
    import torch

    ops, shape = torch.ops.mmtad_decomp, (args.batch, 512, args.steps)
    mask = tail_mask(args.batch, args.steps) if args.mask else None
    forward, backward = [], []
    for _ in range(sets):
        grad, *inputs = (torch.randn(shape, device='cuda', dtype=dtype) for _ in range(4))
        forward.append(lambda x=inputs: ops.local_attentive_fusion(*x, mask, window, True))
        backward.append(
            lambda g=grad, x=inputs: ops.local_attentive_fusion_backward(
                g, *x, mask, window, True, ALL
            )
        )
    size = grad.numel() * grad.element_size()
    return {'forward': (forward, 4 * size), 'backward': (backward, 7 * size)}


def measure(args: argparse.Namespace) -> list[dict]:
    """Rows of the table."""
    import torch

    copy = copy_bandwidth(args.repeats)
    rows = []
    for name in DTYPES:
        dtype = getattr(torch, name)
        cases = {
            f'local_attention w {args.window}': attention_calls(args, dtype, args.sets, False),
            f'local_attention w {args.window} columns': attention_calls(
                args, dtype, args.sets, True
            ),
            f'local_attentive_fusion w {args.window}': fusion_calls(
                args, dtype, args.sets, args.window
            ),
            'local_attentive_fusion w all': fusion_calls(args, dtype, args.sets, None),
        }
        for case, passes in cases.items():
            for direction, (calls, size) in passes.items():
                ms = median_ms(calls, args.repeats)
                speed = size / ms * 1e3
                rows.append(
                    dict(op=case, dtype=name, direction=direction, ms=ms, gbps=speed / 1e9)
                )
                rows[-1].update(copy_gbps=copy / 1e9, share=speed / copy)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--steps', type=int, default=2304)
    parser.add_argument('--window', type=int, default=19)
    parser.add_argument('--mask', action='store_true', help='sequences of different lengths')
    parser.add_argument('--sets', type=int, default=3, help='of inputs, taken in turn')
    parser.add_argument('--repeats', type=int, default=30)
    args = parser.parse_args(argv)

    import torch

    from mmtad_decomp.ops import DEVICES
    from mmtad_decomp.utils import write_json

    if 'cuda' not in DEVICES or not torch.cuda.is_available():
        parser.error('needs a GPU, and the operators built for CUDA')
    rows = measure(args)
    device = torch.cuda.get_device_name()
    settings = {key: value for key, value in vars(args).items() if key != 'json'}
    write_json(args.json, dict(device=device, torch=torch.__version__, **settings, rows=rows))
    print(f'{device}: a copy moves {rows[0]["copy_gbps"]:.0f} GB/s')
    for row in rows:
        label = f'{row["op"]:30s} {row["dtype"]:9s} {row["direction"]:9s}'
        print(
            f'{label} {row["ms"]:8.3f} ms {row["gbps"]:6.0f} GB/s  {row["share"]:4.0%} of a copy'
        )


if __name__ == '__main__':
    sys.exit(run_main(main))
