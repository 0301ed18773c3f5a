"""Peak memory of one training step of the encoder, with and without chunks and recomputation.

Every setting runs in a process of its own: its peak is the process's largest resident set on a
CPU (less what the built model holds before the step) and the allocator's peak on a GPU.

Example:
    python tools/benchmarks/encoder_memory.py --frames 64 --size 64 --windows 2
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

SETTINGS: dict[str, dict] = {
    'plain': dict(),
    'backbone.with_cp': dict(backbone=dict(with_cp=True)),
    'with_cp': dict(with_cp=True),
    'chunk_size 1': dict(chunk_size=1),
    'chunk_size 1, with_cp': dict(chunk_size=1, with_cp=True),
    'chunk_size 1, both with_cp': dict(chunk_size=1, with_cp=True, backbone=dict(with_cp=True)),
}
"""Arguments of :class:`~mmtad_decomp.models.backbones.VideoEncoder` by name."""

MIB = 2**20


def resident_peak() -> float:
    """Largest resident set of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(
    depth: int, setting: str, windows: int, frames: int, size: int, device: str
) -> dict[str, float]:
    """Forward and backward of one batch in this process.

    Args:
        depth: Depth of the ResNet.
        setting: Name in :data:`SETTINGS`.
        windows: Windows in the batch.
        frames: Frames of a window.
        size: Side of a frame in pixels.
        device: ``'cpu'`` or ``'cuda'``.

    Returns:
        ``memory`` in MiB on top of model and input, and ``seconds`` of the step.
    """
    import torch
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmaction')
    options = dict(SETTINGS[setting])
    backbone = dict(type='ResNetTSM', depth=depth, pretrained=None, pretrained2d=False)
    backbone |= dict(norm_eval=False, **options.pop('backbone', {}))
    encoder = MODELS.build(dict(type='VideoEncoder', backbone=backbone, **options))
    encoder.to(device).train()
    inputs = torch.randn(windows, frames, 3, size, size, device=device)
    masks = torch.ones(windows, frames, dtype=torch.bool, device=device)
    for parameter in encoder.parameters():
        parameter.grad = torch.ones_like(parameter)  # held before the step as after it
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / MIB
    else:
        before = resident_peak()
    start = time.perf_counter()
    encoder(inputs, masks)[0].square().mean().backward()
    if device == 'cuda':
        torch.cuda.synchronize()
        after = torch.cuda.max_memory_allocated() / MIB
    else:
        after = resident_peak()
    return dict(memory=after - before, seconds=time.perf_counter() - start)


def measure_all(args: argparse.Namespace) -> list[dict]:
    """Run every depth and setting in a child process."""
    sizes = [f'--{name}={getattr(args, name)}' for name in ('windows', 'frames', 'size', 'device')]
    rows = []
    for depth in args.depths:
        for setting, options in SETTINGS.items():
            if depth < 50 and 'backbone' in options:
                continue  # MMAction2's basic blocks cannot be recomputed one by one.
            command = [sys.executable, __file__, *sizes, f'--child={depth}:{setting}']
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            row = dict(depth=depth, setting=setting, **json.loads(output.splitlines()[-1]))
            rows.append(row)
            cells = (f'TSM{depth}', setting, f'{row["memory"]:.0f}', f'{row["seconds"]:.1f}')
            print(f'| {" | ".join(cells)} |', flush=True)
    return rows


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--depths', type=int, nargs='+', default=[18, 50], help='ResNet depths')
    parser.add_argument('--windows', type=int, default=2, help='windows in the batch')
    parser.add_argument('--frames', type=int, default=64, help='frames of a window')
    parser.add_argument('--size', type=int, default=64, help='side of a frame in pixels')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: a GPU if there is one')
    parser.add_argument('--json', help='write sizes and rows to this file')
    parser.add_argument('--child', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Print a table, and write it where asked."""
    args = parse_args(argv)

    import torch

    from mmtad_decomp.utils import write_json

    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.child:
        depth, setting = args.child.split(':')
        row = measure(int(depth), setting, args.windows, args.frames, args.size, args.device)
        print(json.dumps(row))
        return
    print(f'{args.windows} windows of {args.frames} frames, {args.size} px, {args.device}')
    print('| encoder | setting | peak MiB | seconds |\n| --- | --- | --- | --- |')
    rows = measure_all(args)
    if args.json:
        sizes = {name: getattr(args, name) for name in ('windows', 'frames', 'size', 'device')}
        write_json(args.json, dict(**sizes, torch=torch.__version__, rows=rows), indent=1)


if __name__ == '__main__':
    sys.exit(run_main(main))
