"""Time AFSD's boundary pooling by doubling tables, and by a maximum over all masked steps.

    python tools/benchmarks/boundary_pooling.py

Both pool the features with the finest steps around the boundaries of one segment per point of
AFSD's pyramid (strides 4 to 128), forward and backward, and their results are compared. Times are
medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from torch import Tensor


def dense_max_pool(feats: Tensor, segments: Tensor, masks: Tensor) -> Tensor:
    """The same maxima, each over all steps with those outside of its window masked."""
    import torch

    from mmtad_decomp.models.layers import boundary_windows

    windows = boundary_windows(segments)
    steps = torch.arange(feats.shape[2], device=feats.device)
    last = (steps * masks).amax(dim=1)[:, None, None]
    low = windows[..., 0].clamp(min=0).minimum(last)
    high = windows[..., 1].minimum(last).maximum(low)
    seen = (steps >= low[..., None]) & (steps <= high[..., None]) & masks[:, None, None]
    seen = seen.transpose(1, 2)[:, :, None]
    halves = feats.unflatten(1, (2, -1))[:, :, :, None]
    pooled = halves.masked_fill(~seen, -torch.inf).amax(dim=-1)
    return pooled.flatten(1, 2)


def prepare(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Random features, segments around the points, and masks without padding."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    feats = torch.randn(args.windows, args.channels, args.steps, requires_grad=True)
    points = torch.cat([torch.arange(0, args.steps, 4 * 2**level) for level in range(6)])
    reach = torch.rand(args.windows, len(points), 2) * args.steps / 4
    segments = torch.stack((points - reach[..., 0], points + reach[..., 1]), dim=-1)
    return feats, segments, torch.ones(args.windows, args.steps, dtype=torch.bool)


def timed(pool: Callable, feats: Tensor, *rest: Tensor) -> tuple[float, Tensor, Tensor]:
    """Seconds of forward and backward, the result and the gradient."""
    import torch

    feats.grad = None
    start = time.perf_counter()
    out = pool(feats, *rest)
    out.backward(torch.ones_like(out))
    return time.perf_counter() - start, out.detach(), feats.grad


def main(argv: list[str] | None = None) -> int:
    """Compare the two and print their times."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--windows', type=int, default=1)
    parser.add_argument('--channels', type=int, default=512)
    parser.add_argument('--steps', type=int, default=256)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=7)
    args = parser.parse_args(argv)

    import torch

    from mmtad_decomp.models.layers import boundary_max_pool

    inputs = prepare(args)
    kinds = {'tables': boundary_max_pool, 'dense': dense_max_pool}
    results = {name: timed(pool, *inputs)[1:] for name, pool in kinds.items()}
    for ours, others in zip(*results.values()):
        torch.testing.assert_close(ours, others)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, pool in kinds.items():
            times[name].append(timed(pool, *inputs)[0])
    for name, seconds in times.items():
        print(f'{name}: {statistics.median(seconds) * 1e3:.1f} ms')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
