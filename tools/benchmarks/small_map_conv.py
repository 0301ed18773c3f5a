"""Time a training step of TSM18 with SmallMapConv2d and with nn.Conv2d, interleaved.

python tools/benchmarks/small_map_conv.py --json small_map_conv.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from mmtad_decomp.models.backbones import VideoEncoder
from mmtad_decomp.utils import write_json


def build(conv: str) -> VideoEncoder:
    """A channels-last TSM18 whose convolutions are of type ``conv``."""
    torch.manual_seed(0)
    backbone = dict(type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False)
    settings = dict(backbone, conv_cfg=dict(type=conv))
    return MODELS.build(dict(type='VideoEncoder', channels_last=True, backbone=settings)).train()


def step(encoder: nn.Module, frames: Tensor, half: bool) -> float:
    """CPU seconds of one forward and backward pass."""
    encoder.zero_grad(set_to_none=True)
    masks = torch.ones(frames.shape[:2], dtype=torch.bool)
    begin = time.process_time()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        feats, _ = encoder(frames, masks)
    feats.float().square().mean().backward()
    return time.process_time() - begin


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument('--sizes', type=int, nargs='+', default=[40, 48, 64, 96])
    parser.add_argument('--windows', type=int, default=2)
    parser.add_argument('--frames', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    encoders = {'Conv2d': build('Conv2d'), 'SmallMapConv2d': build('mmaction.SmallMapConv2d')}
    rows = []
    print(f'{args.windows} windows of {args.frames} frames, {args.threads} threads, CPU seconds')
    for size in args.sizes:
        frames = torch.randn(args.windows, args.frames, 3, size, size)
        for dtype in ('bfloat16', 'float32'):
            times = {name: [] for name in encoders}
            for turn in range(args.rounds + 1):
                for name, encoder in encoders.items():
                    seconds = step(encoder, frames, dtype == 'bfloat16')
                    if turn:
                        times[name].append(seconds)
            peer, ours = (statistics.median(times[name]) for name in encoders)
            rows.append(dict(size=size, dtype=dtype, ours_s=ours, peer_s=peer, ratio=peer / ours))
            print(f'{size} px {dtype}: Conv2d {peer:.3f}, ours {ours:.3f}, {peer / ours:.2f}x')
    capability = torch.backends.cpu.get_cpu_capability()
    write_json(
        args.json, dict(rows=rows, threads=args.threads, cpu=capability, torch=torch.__version__)
    )


if __name__ == '__main__':
    main()
