"""SGAlign: features of every (start, duration) pair, aligned on its extended span.

Aligning is linear, and so is the convolution that G-TAD puts behind it. With samples r of a pair
(d, s), aligned features ``sum_t A[d, s, r, t] x[c, t]`` and convolution weights ``W[o, c, r]``,

    y[o, d, s] = sum_{c, r} W[o, c, r] sum_t A[d, s, r, t] x[c, t]
               = sum_{r, t} A[d, s, r, t] P[o, r, t],    P[o, r, t] = sum_c W[o, c, r] x[c, t].

So the features are projected first, at T steps instead of at D T pairs, and the C R channels of
a pair are never held. A is sparse, and it does not depend on the sample: near the last valid step
it is the features that are changed (:func:`edge_rows`). It is built once per number of steps.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from mmtad_decomp.structures import valid_pairs

from ...ops import is_exported
from .gcnext import mean_of_neighbors


class AlignMatrix(NamedTuple):
    """The alignment of all pairs as sparse matrices (CSR).

    Attributes:
        forward: ``(D T, 2 (T + 1) R)``, from :func:`edge_rows` to pairs, duration by duration.
        backward: Its transpose.
    """

    forward: Tensor
    backward: Tensor


def sample_positions(duration: int, num_samples: int, extension: float) -> Tensor:
    """Where pair (s, d) reads its features, in steps from s.

    The span ``[s - e (d + 1), s + d + e (d + 1)]``, at least one step long, is cut into R bins of
    which each is read at ``ceil(span / R)`` evenly spaced positions (RoIAlign in 1-D).

    Args:
        duration: Duration index d.
        num_samples: R.
        extension: e.

    Returns:
        ``(R, positions per bin)`` float64.
    """
    begin = -extension * (duration + 1)
    span = max(duration - 2 * begin, 1.0)
    per_bin = math.ceil(span / num_samples)
    # On the CPU also where a model is built on another device, or on none.
    settings = dict(dtype=torch.float64, device='cpu')
    bins = torch.arange(num_samples, **settings)[:, None]
    inner = (torch.arange(per_bin, **settings) + 0.5) / per_bin
    return begin + (bins + inner) * span / num_samples


def pair_taps(duration: int, num_samples: int, extension: float) -> tuple[Tensor, int]:
    """With which weights pair (s, d) reads the two ends of interpolations around s.

    Args:
        duration: Duration index d.
        num_samples: R.
        extension: e.

    Returns:
        ``(2, R, width)`` float64 weights of the lower and the upper end, and the first step that
        they stand for, counted from s.
    """
    position = sample_positions(duration, num_samples, extension)
    below = position.floor().long()
    lowest, width = int(below.min()), int(below.max() - below.min()) + 1
    share = (position - below) / position.shape[1]
    taps = torch.zeros(2, num_samples, width, dtype=torch.float64, device='cpu')
    taps[0].scatter_add_(1, below - lowest, 1.0 / position.shape[1] - share)
    taps[1].scatter_add_(1, below - lowest, share)
    return taps, lowest


class AlignKernel(NamedTuple):
    """The alignment as a convolution over time, whatever the number of steps.

    Attributes:
        weight: ``(D, 2 R, width)`` float32, mostly zeros; inputs are ends, then samples.
        first: The step of the first tap, counted from the start of a pair.
    """

    weight: Tensor
    first: int


def align_kernel(max_duration: int, num_samples: int, extension: float) -> AlignKernel:
    """The kernel for R samples of pairs of up to D steps, extended by e of their length."""
    parts = [pair_taps(duration, num_samples, extension) for duration in range(max_duration)]
    first = min(lowest for _, lowest in parts)
    width = max(lowest + taps.shape[2] for taps, lowest in parts) - first
    weight = torch.zeros(max_duration, 2, num_samples, width, device='cpu')
    for duration, (taps, lowest) in enumerate(parts):
        weight[duration, ..., lowest - first : lowest - first + taps.shape[2]] = taps
    return AlignKernel(weight.flatten(1, 2), first)


@lru_cache(maxsize=8)
def align_matrix(
    steps: int,
    max_duration: int,
    num_samples: int,
    extension: float,
    device: torch.device,
    dtype: torch.dtype,
) -> AlignMatrix:
    """The alignment of ``steps`` steps; rows of pairs that do not fit into them are empty.

    Args:
        steps: T.
        max_duration: D.
        num_samples: R, samples per pair.
        extension: How far a pair's span is extended on both sides, in its lengths.
        device: Where the matrices are to lie.
        dtype: Of their values.
    """
    rows, columns, values = [], [], []
    for duration in range(min(max_duration, steps)):
        taps, lowest = pair_taps(duration, num_samples, extension)
        side, sample, offset = (taps != 0).nonzero().unbind(1)
        start = torch.arange(steps - duration)[:, None]
        step = start + offset + lowest
        inside = (step >= -1) & (step < steps)
        column = (side * (steps + 1) + step + 1) * num_samples + sample
        rows.append((duration * steps + start).expand_as(step)[inside])
        columns.append(column[inside])
        values.append(taps[side, sample, offset].expand_as(step)[inside])
    row, column = torch.cat(rows), torch.cat(columns)
    value = torch.cat(values).to(device=device, dtype=dtype)
    shape = (max_duration * steps, 2 * (steps + 1) * num_samples)
    return AlignMatrix(
        csr_matrix(row, column, value, shape), csr_matrix(column, row, value, (shape[1], shape[0]))
    )


def csr_matrix(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    """A CSR matrix, on the values' device, of entries in any order without duplicates."""
    order = (row * shape[1] + column).argsort()
    pointers = torch.zeros(shape[0] + 1, dtype=torch.long)
    pointers[1:] = row.bincount(minlength=shape[0]).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Sparse (CSR tensor support|invariant checks)')
        return torch.sparse_csr_tensor(
            pointers.to(value.device, torch.int32),
            column[order].to(value.device, torch.int32),
            value[order.to(value.device)],
            shape,
            check_invariants=False,
        )


class SparseProduct(torch.autograd.Function):
    """``(N, columns, O)`` times a constant sparse matrix to ``(N, rows, O)``."""

    @staticmethod
    def forward(ctx: FunctionCtx, feats: Tensor, matrix: AlignMatrix) -> Tensor:
        """Multiply each sample."""
        ctx.matrix = matrix
        return torch.stack([matrix.forward @ sample for sample in feats])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        """Multiply each sample's gradient by the transpose."""
        return torch.stack([ctx.matrix.backward @ sample for sample in grad.contiguous()]), None


def edge_rows(feats: Tensor, lengths: Tensor) -> Tensor:
    """Values that the two ends of an interpolation read when they start from steps -1 to T - 1.

    A position in [j, j + 1) is interpolated from both; up to one step outside of the valid steps
    it takes the outermost one's features, farther out it reads 0 (RoIAlign's rule).

    Args:
        feats: ``(N, T, R, O)``.
        lengths: ``(N,)`` valid steps L.

    Returns:
        ``(N, 2 (T + 1) R, O)``, ordered by end, step and sample.
    """
    step = torch.arange(-1, feats.shape[1], device=feats.device)
    inside = step[1:] < lengths[:, None]
    last = step == lengths[:, None] - 1
    feats = feats * inside[..., None, None]
    lower = torch.cat((feats[:, :1], feats), dim=1)
    upper = torch.cat((feats, torch.zeros_like(feats[:, :1])), dim=1)
    upper = upper + lower * last[..., None, None]
    return torch.stack((lower, upper), dim=1).flatten(1, 3)


def convolve_rows(rows: Tensor, kernel: AlignKernel) -> Tensor:
    """The product of :class:`SparseProduct` by a standard operator, for exported graphs.

    It is slower, since most of the kernel is zero, but needs no matrix for each T.

    Args:
        rows: ``(N, 2 (T + 1) R, O)`` from :func:`edge_rows`.
        kernel: The alignment.

    Returns:
        ``(N, D T, O)``; pairs that do not fit into the steps mean nothing.
    """
    weight, first = kernel
    if weight.dtype != rows.dtype or weight.device != rows.device:
        weight = weight.to(rows)
    channels, width = weight.shape[1:]
    # (N, 2, T + 1, R, O) to (N O, 2 R, T + 1): row 0 stands for step -1.
    rows = rows.unflatten(1, (2, -1, channels // 2))
    batch, _, _, _, out = rows.shape
    rows = rows.permute(0, 4, 1, 3, 2).flatten(0, 1).flatten(1, 2)
    left = -first - 1
    pairs = F.conv1d(F.pad(rows, (left, width - 2 - left)), weight)  # (N O, D, T)
    return pairs.unflatten(0, (batch, out)).flatten(2).transpose(1, 2)


def align_projected(
    feats: Tensor,
    masks: Tensor,
    max_duration: int,
    extension: float = 0.5,
    kernel: AlignKernel | None = None,
) -> Tensor:
    """Sum over samples r of the r-th feature at the r-th sampling position of every pair.

    Pairs that do not fit into the valid steps are given what the span [0, 1] gives, as in G-TAD,
    whose convolutions over the map see it.

    Args:
        feats: ``(N, T, R, O)`` projected features, at least float32.
        masks: ``(N, T)`` bool, True at the first L steps of a sample.
        max_duration: D.
        extension: Extension of a pair's span on both sides, in its lengths.
        kernel: The same alignment as a convolution, to be used instead of a sparse matrix.

    Returns:
        ``(N, D, T, O)``.
    """
    steps, num_samples = feats.shape[1:3]
    lengths = masks.sum(dim=1)
    rows = edge_rows(feats, lengths)
    if kernel is None:
        matrix = align_matrix(
            steps, max_duration, num_samples, float(extension), feats.device, feats.dtype
        )
        pairs = SparseProduct.apply(rows, matrix)
    else:
        pairs = convolve_rows(rows, kernel)
    pairs = pairs.unflatten(1, (max_duration, steps))
    right = (torch.arange(num_samples, device=feats.device) + 0.5).to(feats.dtype) / num_samples
    second = feats[torch.arange(feats.shape[0], device=feats.device), (lengths > 1).long()]
    placeholder = torch.einsum('nro,r->no', feats[:, 0], 1 - right)
    placeholder = placeholder + torch.einsum('nro,r->no', second, right)
    valid = valid_pairs(masks, max_duration)[..., None]
    return torch.where(valid, pairs, placeholder[:, None, None])


class SGAlignConv(BaseModule):
    """Align every pair's sub-graph of features and convolve it to ``out_channels``.

    A pair's features are ``num_inner`` samples of the features and ``num_context`` samples of
    the mean of each step's semantic neighbours (Xu et al., "G-TAD", CVPR 2020). The defaults are
    G-TAD's for THUMOS'14.

    Args:
        in_channels: C.
        out_channels: O.
        max_duration: D, durations of 1 to D steps.
        num_inner: Samples of the features.
        num_context: Samples of the neighbours' mean; 0 leaves them out.
        num_neighbors: Semantic neighbours.
        extension: Extension of a pair's span on both sides, in its lengths.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_duration: int,
        num_inner: int = 16,
        num_context: int = 16,
        num_neighbors: int = 3,
        extension: float = 0.5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.max_duration = max_duration
        self.num_samples = (num_inner, num_context)
        self.num_neighbors = num_neighbors
        self.extension = extension
        conv = nn.Conv1d(in_channels, out_channels, num_inner + num_context)
        self.weight = conv.weight
        self.bias = conv.bias
        samples = [count for count in {num_inner, num_context} if count]
        self._kernels = {r: align_kernel(max_duration, r, extension) for r in samples}

    def forward(self, feats: Tensor, masks: Tensor) -> Tensor:
        """Compute the map, in at least float32 whatever autocast says but for the projection.

        Args:
            feats: ``(N, C, T)``, zero at masked steps.
            masks: ``(N, T)`` bool, True at the first L steps of a sample.

        Returns:
            ``(N, O, D, T)`` in channels-last order, before any activation.
        """
        num_inner, num_context = self.num_samples
        inner, context = self.weight.split(self.num_samples, dim=2)
        projected = [self._project(feats, inner)]
        if num_context:
            mean = mean_of_neighbors(feats, masks, self.num_neighbors)
            projected.append(self._project(mean, context))
        if num_inner == num_context:
            projected = [projected[0] + projected[1]]
        with torch.autocast(feats.device.type, enabled=False):
            maps = self._align(projected[0], masks, num_inner)
            for part in projected[1:]:
                maps += self._align(part, masks, num_context)
            maps += self.bias.to(maps.dtype)
            return maps.permute(0, 3, 1, 2)

    def _align(self, projected: Tensor, masks: Tensor, num_samples: int) -> Tensor:
        """``(N, T, R, O)`` of R samples to ``(N, D, T, O)``."""
        kernel = self._kernels[num_samples] if is_exported() else None
        return align_projected(projected, masks, self.max_duration, self.extension, kernel)

    @staticmethod
    def _project(feats: Tensor, weight: Tensor) -> Tensor:
        """``(N, C, T)`` and ``(O, C, R)`` to ``(N, T, R, O)``, in at least float32."""
        out, _, samples = weight.shape
        flat = weight.permute(2, 0, 1).flatten(0, 1)
        projected = torch.nn.functional.linear(feats.transpose(1, 2), flat)
        projected = projected if projected.element_size() >= 4 else projected.float()
        return projected.unflatten(2, (samples, out))
