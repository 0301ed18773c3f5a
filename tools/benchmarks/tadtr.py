"""Time TadTR's sampling in time by three ways, and a training step of its head.

    python tools/benchmarks/tadtr.py --json tadtr.json

Sampling: the head's way (``grid_sample`` on rows of one pixel), gathering both neighbours of every
position, and a product with a matrix of interpolation weights. Step: forward and backward pass at
the size of the THUMOS'14 config (windows of 256 steps, width 256), beside ActionFormer's head.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from mmengine.structures import InstanceData
    from torch import Tensor

    from mmtad_decomp.models.heads import TemporalHead

HEADS, CHANNELS, POINTS = 8, 32, 4


def _taps(positions: Tensor, weights: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Both neighbours of every position, counted from two steps before the first, and shares."""
    import torch

    low = positions.detach().floor()
    high_share = weights * (positions - low)
    low = low.long().clamp(-2, steps) + 2
    return torch.cat((low, low + 1), -1), torch.cat((weights - high_share, high_share), -1)


def _per_head(x: Tensor) -> Tensor:
    """``(N, Q, H, ...)`` to ``(N * H, Q, ...)``."""
    return x.transpose(1, 2).flatten(0, 1).flatten(2)


def gathered(values: Tensor, positions: Tensor, weights: Tensor, steps: int) -> Tensor:
    """Sampling that reads both neighbours of every position."""
    import torch.nn.functional as F

    rows = F.pad(_per_head(values), (0, 0, 2, 2))
    index, share = _taps(_per_head(positions), _per_head(weights), steps)
    flat = index.flatten(1)[..., None].expand(-1, -1, rows.shape[2])
    samples = rows.gather(1, flat).view(*index.shape, -1)
    return (share[:, :, None] @ samples).squeeze(2)


def as_product(values: Tensor, positions: Tensor, weights: Tensor, steps: int) -> Tensor:
    """Sampling as a product with a matrix of interpolation weights."""
    index, share = _taps(_per_head(positions), _per_head(weights), steps)
    matrix = share.new_zeros(*share.shape[:2], steps + 4).scatter_add(2, index, share)
    return matrix[:, :, 2:-2] @ _per_head(values)


def by_grid_sample(values: Tensor, positions: Tensor, weights: Tensor, steps: int) -> Tensor:
    """Sampling as the head does it."""
    from mmtad_decomp.models.layers import deformable_sampling

    out = deformable_sampling(values, positions, weights, (steps,))
    return _per_head(out)


def median_seconds(function: Callable[[], Tensor], rounds: int) -> float:
    """Median time of a forward and backward pass, after one to warm up."""
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        function().sum().backward()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def sampling_rows(rounds: int) -> list[dict]:
    """Times of the three ways for several sizes; all give the same, within rounding."""
    import torch

    ways = (by_grid_sample, gathered, as_product)
    rows = []
    for windows, steps, queries in ((4, 256, 256), (4, 256, 40), (1, 1024, 1024)):
        torch.manual_seed(0)
        values = torch.randn(windows, steps, HEADS, CHANNELS, requires_grad=True)
        shape = (windows, queries, HEADS, 1, POINTS)
        positions = (torch.rand(shape) * steps).requires_grad_()
        weights = torch.rand(shape, requires_grad=True)
        args = (values, positions, weights, steps)
        expected = ways[0](*args)
        row: dict[str, float] = dict(windows=windows, steps=steps, queries=queries)
        for way in ways:
            torch.testing.assert_close(way(*args), expected, atol=1e-3, rtol=1e-3)
            row[way.__name__] = median_seconds(partial(way, *args), rounds)
        print(row)
        rows.append(row)
    return rows


def ground_truth(windows: int) -> list[InstanceData]:
    """Four segments per window."""
    import torch
    from mmengine.structures import InstanceData

    segments = torch.tensor([[10.0, 30.0], [50.0, 90.0], [120.0, 130.0], [180.0, 240.0]])
    return [InstanceData(segments=segments, labels=torch.arange(4)) for _ in range(windows)]


def head_rows(rounds: int) -> list[dict]:
    """Times of a step of whole heads, losses included."""
    import torch
    from mmaction.registry import MODELS

    rows = []
    for kind, width in (('TadTRHead', 256), ('ActionFormerHead', 512)):
        torch.manual_seed(0)
        head: TemporalHead = MODELS.build(dict(type=kind, num_classes=20, in_channels=width))
        feats, masks = torch.randn(4, width, 256), torch.ones(4, 256, dtype=torch.bool)
        gt = ground_truth(4)

        def step(head=head, feats=feats, masks=masks, gt=gt) -> Tensor:
            head.zero_grad(set_to_none=True)
            return sum(head.loss_by_feat(head(feats, masks), gt).values())

        parameters = sum(parameter.numel() for parameter in head.parameters())
        row = dict(head=kind, parameters=parameters, seconds=median_seconds(step, rounds))
        print(row)
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args(argv)

    import torch
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import write_json

    torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    write_json(
        args.json,
        dict(
            sampling=sampling_rows(args.rounds),
            heads=head_rows(args.rounds),
            threads=args.threads,
            torch=torch.__version__,
        ),
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
