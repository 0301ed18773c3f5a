"""Time a training step of TSM18 by convolution (SmallMapConv2d, nn.Conv2d) and memory order.

The four combinations take turns.

python tools/benchmarks/small_map_conv.py --json small_map_conv.json
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmtad_decomp.models.backbones import VideoEncoder

CONVS = {'SmallMapConv2d': 'mmaction.SmallMapConv2d', 'Conv2d': 'Conv2d'}
ORDERS = {'channels last': True, 'channels first': False}


def build(conv: str, channels_last: bool) -> VideoEncoder:
    """A TSM18 whose convolutions are of type ``conv``."""
    import torch
    from mmaction.registry import MODELS

    torch.manual_seed(0)
    backbone = dict(type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False)
    backbone['conv_cfg'] = dict(type=conv)
    settings = dict(type='VideoEncoder', channels_last=channels_last, backbone=backbone)
    return MODELS.build(settings).train()


def step(encoder: nn.Module, frames: Tensor, half: bool) -> float:
    """CPU seconds of one forward and backward pass."""
    import torch

    encoder.zero_grad(set_to_none=True)
    masks = torch.ones(frames.shape[:2], dtype=torch.bool)
    begin = time.process_time()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        feats, _ = encoder(frames, masks)
    feats.float().square().mean().backward()
    return time.process_time() - begin


def median_times(encoders: dict[str, nn.Module], frames: Tensor, half: bool, rounds: int) -> dict:
    """Median CPU seconds of each encoder over interleaved rounds, after one that is not timed."""
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for turn, (name, encoder) in itertools.product(range(rounds + 1), encoders.items()):
        seconds = step(encoder, frames, half)
        if turn:
            times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from ``48x64`` or ``48``."""
    height, _, width = text.partition('x')
    return int(height), int(width or height)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument(
        '--sizes', type=parse_size, nargs='+', default=['28x42', '40', '48', '48x64', '64', '96']
    )
    parser.add_argument('--windows', type=int, default=2)
    parser.add_argument('--frames', type=int, nargs='+', default=[64])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--dtypes',
        nargs='+',
        choices=['bfloat16', 'float32'],
        help='default: float32, and bfloat16 where the processor has it',
    )
    args = parser.parse_args(argv)

    import torch
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import fast_dtype, keep_freed_memory, processor_name, write_json

    keep_freed_memory()
    torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    fast = str(fast_dtype(torch.device('cpu'))[0]).removeprefix('torch.')
    encoders = {
        f'{conv}, {order}': build(CONVS[conv], ORDERS[order])
        for conv, order in itertools.product(CONVS, ORDERS)
    }
    machine = dict(cpu=processor_name(), capability=torch.backends.cpu.get_cpu_capability())
    print(f'{machine}, {args.windows} windows, {args.threads} threads, CPU seconds')
    cases = itertools.product(
        [parse_size(size) if isinstance(size, str) else size for size in args.sizes],
        args.frames,
        args.dtypes or sorted({'float32', fast}),
    )
    rows = []
    for (height, width), steps, dtype in cases:
        frames = torch.randn(args.windows, steps, 3, height, width)
        seconds = median_times(encoders, frames, dtype == 'bfloat16', args.rounds)
        rows.append(dict(size=[height, width], frames=steps, dtype=dtype, seconds=seconds))
        cells = ' | '.join(f'{name} {value:.3f}' for name, value in seconds.items())
        print(f'{height}x{width}, {steps} frames, {dtype}: {cells}', flush=True)
    content = dict(machine, rows=rows, threads=args.threads, torch=torch.__version__)
    write_json(args.json, content)


if __name__ == '__main__':
    sys.exit(run_main(main))
