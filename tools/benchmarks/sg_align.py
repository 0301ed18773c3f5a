"""Time G-TAD's alignment and the convolution behind it, in this order and in the other.

    python tools/benchmarks/sg_align.py --json sg_align.json

``materialised`` samples the features of every (start, duration) pair and convolves them, as G-TAD
does; ``commuted`` is :class:`SGAlignConv`, which convolves first. Both sample by a sparse product,
have the same weights, and their results are compared. Times are medians of interleaved rounds;
memory is measured in a process of each kind's own, as the growth of the peak over what was held
before.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from torch import Tensor

    from mmtad_decomp.models.layers import SGAlignConv
    from mmtad_decomp.models.layers.sg_align import AlignMatrix


def materialise(layer: SGAlignConv, feats: Tensor, masks: Tensor) -> Tensor:
    """Result of ``layer`` for valid pairs, with all samples of all pairs held."""
    from torch.nn.functional import linear

    from mmtad_decomp.models.layers import mean_of_neighbors
    from mmtad_decomp.models.layers.sg_align import SparseProduct, edge_rows

    parts = [feats, mean_of_neighbors(feats, masks, layer.num_neighbors)]
    shape = (layer.max_duration, feats.shape[2])
    maps = layer.bias[:, None, None]
    for part, weight in zip(parts, layer.weight.split(layer.num_samples, dim=2)):
        matrix = sampling_matrix(*shape, weight.shape[2], layer.extension)
        rows = edge_rows(part.transpose(1, 2)[:, :, None], masks.sum(dim=1))
        held = SparseProduct.apply(rows, matrix).unflatten(1, (-1, weight.shape[2])).flatten(2)
        flat = weight.transpose(1, 2).flatten(1)
        maps = maps + linear(held, flat).transpose(1, 2).unflatten(2, shape)
    return maps


@lru_cache(maxsize=2)
def sampling_matrix(
    max_duration: int, steps: int, num_samples: int, extension: float
) -> AlignMatrix:
    """From steps to all samples of all pairs: :func:`align_matrix` with the samples kept apart."""
    import torch

    from mmtad_decomp.models.layers.sg_align import AlignMatrix, align_matrix, csr_matrix

    summed = align_matrix(
        steps, max_duration, num_samples, extension, torch.device('cpu'), torch.float32
    ).forward
    pair = torch.arange(len(summed)).repeat_interleave(summed.crow_indices().diff())
    column = summed.col_indices().long()
    row, column = pair * num_samples + column % num_samples, column // num_samples
    shape = (len(summed) * num_samples, 2 * (steps + 1))
    return AlignMatrix(
        csr_matrix(row, column, summed.values(), shape),
        csr_matrix(column, row, summed.values(), shape[::-1]),
    )


KINDS = {'materialised': materialise, 'commuted': lambda layer, *inputs: layer(*inputs)}


def prepare(args: argparse.Namespace) -> tuple[SGAlignConv, Tensor, Tensor]:
    """Layer, features and masks; the matrices of both kinds are built already."""
    import torch

    from mmtad_decomp.models.layers import SGAlignConv

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    layer = SGAlignConv(args.channels, args.out_channels, args.durations)
    feats = torch.randn(args.windows, args.channels, args.steps).relu()
    masks = torch.ones(args.windows, args.steps, dtype=torch.bool)
    for run in KINDS.values():
        run(SGAlignConv(1, 1, args.durations), feats[:1, :1], masks[:1])
    return layer, feats, masks


def step(kind: str, layer: SGAlignConv, feats: Tensor, masks: Tensor) -> tuple[float, float]:
    """Seconds of the forward and of the backward pass."""
    feats = feats.clone().requires_grad_()
    begin = time.perf_counter()
    out = KINDS[kind](layer, feats, masks)
    middle = time.perf_counter()
    out.square().mean().backward()
    return middle - begin, time.perf_counter() - middle


def difference(layer: SGAlignConv, feats: Tensor, masks: Tensor) -> float:
    """Largest difference over valid pairs, relative to the largest value."""
    import torch

    from mmtad_decomp.structures import valid_pairs

    with torch.no_grad():
        first, second = (run(layer, feats, masks) for run in KINDS.values())
    valid = valid_pairs(masks, layer.max_duration)[:, None]
    return ((first - second) * valid).abs().max().item() / first.abs().max().item()


def peak(kind: str, args: argparse.Namespace) -> float:
    """MiB by which one step raises the peak memory of a fresh process."""
    inputs = prepare(args)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(kind, *inputs)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument('--windows', type=int, default=1)
    parser.add_argument('--steps', type=int, default=256)
    parser.add_argument('--durations', type=int, default=64)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--out-channels', type=int, default=512)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args(argv)

    import torch

    from mmtad_decomp.utils import write_json

    spawn = multiprocessing.get_context('spawn')
    memory = {}
    for kind in KINDS:
        with spawn.Pool(1) as pool:
            memory[kind] = pool.apply(peak, (kind, args))
    inputs = prepare(args)
    error = difference(*inputs)
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(args.rounds):
        for kind in KINDS:
            times[kind].append(step(kind, *inputs))
    rows = []
    for kind in KINDS:
        forward, backward = (statistics.median(column) for column in zip(*times[kind]))
        rows.append(dict(kind=kind, forward_s=forward, backward_s=backward, peak_mib=memory[kind]))
        print(f'{kind}: {forward:.3f} s + {backward:.3f} s, {memory[kind]:.0f} MiB')
    print(f'largest difference {error:.1e} of the largest value')
    settings = {name: value for name, value in vars(args).items() if name != 'json'}
    write_json(args.json, dict(settings, rows=rows, difference=error, torch=torch.__version__))


if __name__ == '__main__':
    sys.exit(run_main(main))
