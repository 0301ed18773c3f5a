"""Non-maximum suppression and voting on 1-D segments.

All in float64 and without rounding a score; of equal scores the earlier row comes first, and a
segment without length overlaps nothing. The compiled operators give what the plain NumPy
functions in this file give, save for the last bit of an exponential or of a vote's mean, which
depends on the library that computes it.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mmtad_decomp.structures import pairwise_tiou

from .extension import DEVICES, is_compiled_for

Array = TypeVar('Array', np.ndarray, Tensor)


def nms_1d(
    segments: Array,
    scores: Array,
    iou_thr: float,
    labels: Array | None = None,
    max_out: int | None = None,
) -> Array:
    """Greedy non-maximum suppression.

    Args:
        segments: ``(N, 2)`` starts and ends: a NumPy array, a list, or a tensor on the CPU.
        scores: ``(N,)``.
        iou_thr: A candidate goes if its tIoU with a kept one of its label is >= this; > 0.
        labels: ``(N,)`` int; candidates suppress only their own label. Default: one label.
        max_out: Stop after so many.

    Returns:
        ``(M,)`` int64 rows kept, by falling score; a tensor if ``segments`` is one.

    Raises:
        TypeError: If a tensor is not on the CPU.
        ValueError: If the inputs' shapes do not fit, a number is not finite, or an option is out
            of range.
    """
    if not iou_thr > 0:
        raise ValueError(f'iou_thr must be > 0, got {iou_thr}')
    cap = _cap(max_out)
    inputs = _candidates(segments, scores, labels)
    if is_compiled_for(*inputs[:2]):
        rows = torch.ops.mmtad_decomp.nms_1d(*inputs, float(iou_thr), cap)
    else:
        rows = torch.from_numpy(_nms(*_arrays(*inputs), iou_thr, cap))
    return rows if isinstance(segments, Tensor) else rows.numpy()


def soft_nms_1d(
    segments: Array,
    scores: Array,
    method: str = 'gaussian',
    sigma: float = 0.5,
    iou_thr: float = 0.3,
    min_score: float = 0.001,
    labels: Array | None = None,
    max_out: int | None = None,
) -> tuple[Array, Array]:
    r"""Soft-NMS (Bodla et al., ICCV 2017): overlapping candidates lose score instead of going.

    The candidate of highest score is taken, those of its label decay, and so on. After the
    segments :math:`k = 1, 2, \dots` of its label were taken, candidate i has the score

    .. math:: s_i \exp\left(-\tfrac{1}{\sigma} \sum_k \mathrm{tIoU}_{ik}^2\right)
              \quad\text{or}\quad s_i \prod_{k:\,\mathrm{tIoU}_{ik} \ge t} (1 - \mathrm{tIoU}_{ik})

    (``'gaussian'``, ``'linear'``). Since scores only fall, the order of taking is the order of
    the final scores, and the loop over all labels may stop as soon as ``max_out`` are taken.

    Args:
        segments: ``(N, 2)`` starts and ends: a NumPy array, a list, or a tensor on the CPU.
        scores: ``(N,)``.
        method: ``'gaussian'`` or ``'linear'``.
        sigma: Width of the Gaussian decay, > 0.
        iou_thr: Where linear decay begins.
        min_score: Candidates whose decayed score is below are not taken; >= 0.
        labels: ``(N,)`` int; candidates decay only their own label. Default: one label.
        max_out: Stop after so many.

    Returns:
        ``(M,)`` int64 rows taken, by falling decayed score, and their ``(M,)`` float64 decayed
        scores; tensors if ``segments`` is one.

    Raises:
        TypeError: If a tensor is not on the CPU.
        ValueError: If the inputs' shapes do not fit, a number is not finite, or an option is out
            of range.
    """
    if method not in ('gaussian', 'linear'):
        raise ValueError(f"method must be 'gaussian' or 'linear', got {method!r}")
    if not sigma > 0:
        raise ValueError(f'sigma must be > 0, got {sigma}')
    if not min_score >= 0:
        raise ValueError(f'min_score must be >= 0, got {min_score}')
    cap = _cap(max_out)
    inputs = _candidates(segments, scores, labels)
    if is_compiled_for(*inputs[:2]):
        rows, decayed = torch.ops.mmtad_decomp.soft_nms_1d(
            *inputs, method, float(sigma), float(iou_thr), float(min_score), cap
        )
    else:
        found = _soft_nms(*_arrays(*inputs), method, sigma, iou_thr, min_score, cap)
        rows, decayed = map(torch.from_numpy, found)
    return (rows, decayed) if isinstance(segments, Tensor) else (rows.numpy(), decayed.numpy())


def segment_voting(
    kept_segments: Array,
    segments: Array,
    scores: Array,
    iou_thr: float,
    kept_labels: Array | None = None,
    labels: Array | None = None,
) -> Array:
    """Move kept segments to the mean of the candidates around them (box voting).

    A candidate of the same label with ``tiou >= iou_thr`` has the weight ``tiou * score``. A
    segment that no candidate supports (one without length, say) stays where it is.

    Args:
        kept_segments: ``(M, 2)`` segments to refine: an array, a list, or a tensor on the CPU.
        segments: ``(N, 2)`` all candidates.
        scores: ``(N,)`` their scores before suppression.
        iou_thr: Smallest tIoU of a vote.
        kept_labels: ``(M,)`` int; default: all are one label.
        labels: ``(N,)`` int; default: all are one label.

    Returns:
        ``(M, 2)`` float64 refined segments; a tensor if ``kept_segments`` is one.

    Raises:
        TypeError: If a tensor is not on the CPU.
        ValueError: If the inputs' shapes do not fit or a number is not finite.
    """
    kept, no_scores, kept_labels = _candidates(
        kept_segments, torch.zeros(len(kept_segments)), kept_labels
    )
    inputs = _candidates(segments, scores, labels)
    if is_compiled_for(kept, *inputs[:2]):
        refined = torch.ops.mmtad_decomp.segment_voting(kept, kept_labels, *inputs, float(iou_thr))
    else:
        kept, _, kept_labels = _arrays(kept, no_scores, kept_labels)
        refined = torch.from_numpy(_voting(kept, kept_labels, *_arrays(*inputs), iou_thr))
    return refined if isinstance(kept_segments, Tensor) else refined.numpy()


def _cap(max_out: int | None) -> int:
    """The cap as operators take it: -1 for no cap."""
    if max_out is None:
        return -1
    if max_out < 0:
        raise ValueError(f'max_out must be >= 0 or None, got {max_out}')
    return int(max_out)


def _tensor(values: Array, dtype: type, *, columns: bool = False) -> Tensor:
    """A tensor on the CPU, of float32 or float64 for ``dtype`` float; shares memory if it can."""
    if isinstance(values, Tensor):
        if values.device.type != 'cpu':
            raise TypeError(f'expected tensors on the CPU, got one on {values.device}: use .cpu()')
        if dtype is float and values.dtype in (torch.float32, torch.float64):
            return values.detach() if values.requires_grad else values
        return values.detach().to(torch.float64 if dtype is float else torch.int64)
    values = np.asarray(values)
    if columns and values.shape == (0,):  # An empty list has lost its second dimension.
        values = values.reshape(0, 2)
    if dtype is float:
        kept = np.float32 if values.dtype == np.float32 else np.float64
    else:
        kept = np.int64
    return torch.from_numpy(np.require(values, kept, ['C', 'W']))


def _candidates(
    segments: Array, scores: Array, labels: Array | None
) -> tuple[Tensor, Tensor, Tensor]:
    scores = _tensor(scores, float)
    labels = (
        torch.zeros_like(scores, dtype=torch.int64) if labels is None else _tensor(labels, int)
    )
    return _tensor(segments, float, columns=True), scores, labels


def _arrays(
    segments: Tensor, scores: Tensor, labels: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of the NumPy functions, checked as the compiled operators check it."""
    shapes = tuple(list(x.shape) for x in (segments, scores, labels))
    if segments.ndim != 2 or segments.shape[1] != 2 or scores.ndim != 1 or labels.ndim != 1:
        raise ValueError(
            'segments must have shape (N, 2), scores and labels (N,), got '
            f'{shapes[0]}, {shapes[1]} and {shapes[2]}'
        )
    if not len(segments) == len(scores) == len(labels):
        raise ValueError(
            'segments, scores and labels must have one row per candidate, got '
            f'{len(segments)}, {len(scores)} and {len(labels)}'
        )
    segments, scores = segments.double().numpy(), scores.double().numpy()
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise ValueError('segments and scores must be finite, got NaN or infinity')
    return segments, scores, labels.numpy()


def _members(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of each label, ascending."""
    order = np.argsort(labels, kind='stable')
    names, starts = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:])))


def _tiou_with_one(segment: np.ndarray, segments: np.ndarray) -> np.ndarray:
    return pairwise_tiou(segment[None], segments)[0]


def _nms(
    segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_thr: float, cap: int
) -> np.ndarray:
    order = np.argsort(-scores, kind='stable')
    alive = np.ones(len(scores), dtype=bool)
    members = _members(labels[order])
    ordered, names = segments[order], labels[order]
    kept: list[int] = []
    for row in range(len(order)):
        if len(kept) == cap:
            break
        if not alive[row]:
            continue
        kept.append(row)
        group = members[names[row]]
        group = group[np.searchsorted(group, row, side='right') :]
        group = group[alive[group]]
        alive[group[_tiou_with_one(ordered[row], ordered[group]) >= iou_thr]] = False
    return order[np.array(kept, dtype=np.int64)]


def _soft_nms(
    segments: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    method: str,
    sigma: float,
    iou_thr: float,
    min_score: float,
    cap: int,
) -> tuple[np.ndarray, np.ndarray]:
    members = _members(labels)
    left, squares = scores.copy(), np.zeros(len(scores))
    taken: list[int] = []
    taken_scores: list[float] = []
    while len(taken) < len(scores) and len(taken) != cap:
        # The best that is left: scores change with each one taken, so they are searched again.
        top = int(np.argmax(left))
        if left[top] < min_score:
            break
        taken.append(top)
        taken_scores.append(float(left[top]))
        left[top] = -np.inf
        # It lowers those of its class that can still be taken, (G,) rows.
        label = int(labels[top])
        members[label] = group = members[label][left[members[label]] >= min_score]
        tiou = _tiou_with_one(segments[top], segments[group])
        if method == 'gaussian':
            # exp(-a) exp(-b) = exp(-(a + b)): sums lose less than products of many factors.
            squares[group] += tiou * tiou
            left[group] = scores[group] * np.exp(-squares[group] / sigma)
        else:
            left[group] *= np.where(tiou >= iou_thr, 1 - tiou, 1.0)
    return np.array(taken, dtype=np.int64), np.array(taken_scores, dtype=np.float64)


def _voting(
    kept: np.ndarray,
    kept_labels: np.ndarray,
    segments: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    iou_thr: float,
) -> np.ndarray:
    refined = kept.copy()
    members = _members(labels)
    for label, rows in _members(kept_labels).items():
        if label not in members:
            continue
        candidates = members[label]
        tiou = pairwise_tiou(kept[rows], segments[candidates])
        weights = np.where(tiou >= iou_thr, tiou * scores[candidates], 0.0)
        total = weights.sum(axis=1)
        voted = total > 0
        mean = weights[voted] @ segments[candidates] / total[voted, None]
        refined[rows[voted]] = mean
    return refined


def _register_fakes() -> None:
    @torch.library.register_fake('mmtad_decomp::nms_1d')
    def _(segments, scores, labels, iou_thr, max_out):  # type: ignore[no-untyped-def]
        return labels.new_empty(torch.library.get_ctx().new_dynamic_size())

    @torch.library.register_fake('mmtad_decomp::soft_nms_1d')
    def _(segments, scores, labels, method, sigma, iou_thr, min_score, max_out):  # type: ignore[no-untyped-def]
        size = torch.library.get_ctx().new_dynamic_size()
        return labels.new_empty(size), scores.new_empty(size, dtype=torch.float64)

    @torch.library.register_fake('mmtad_decomp::segment_voting')
    def _(kept_segments, kept_labels, segments, scores, labels, iou_thr):  # type: ignore[no-untyped-def]
        return kept_segments.new_empty(kept_segments.shape, dtype=torch.float64)


if DEVICES:
    _register_fakes()
