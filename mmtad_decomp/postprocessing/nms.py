"""Non-maximum suppression and voting on 1-D segments, in plain NumPy.

Every function computes in float64, never rounds a score, resolves equal scores in favour of the
earlier row, and treats a segment without length as overlapping nothing.
"""

from __future__ import annotations

import numpy as np

from mmtad_decomp.structures import pairwise_tiou


def _check(
    segments: np.ndarray, scores: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    scores = np.asarray(scores, dtype=np.float64).reshape(-1)
    if labels is None:
        labels = np.zeros(len(scores), dtype=np.int64)
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    if not len(segments) == len(scores) == len(labels):
        raise ValueError(
            'segments, scores and labels must have one row per candidate, got '
            f'{len(segments)}, {len(scores)} and {len(labels)}'
        )
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise ValueError('segments and scores must be finite, got NaN or infinity')
    return segments, scores, labels


def _members(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of each label, ascending."""
    order = np.argsort(labels, kind='stable')
    names, starts = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:])))


def _tiou_with_one(segment: np.ndarray, segments: np.ndarray) -> np.ndarray:
    return pairwise_tiou(segment[None], segments)[0]


def nms_1d(
    segments: np.ndarray,
    scores: np.ndarray,
    iou_thr: float,
    labels: np.ndarray | None = None,
    max_out: int | None = None,
) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        segments: ``(N, 2)`` starts and ends.
        scores: ``(N,)``.
        iou_thr: A candidate goes if its tIoU with a kept one of its label is >= this.
        labels: ``(N,)``; candidates suppress only their own label. Default: all are one label.
        max_out: Stop after so many.

    Returns:
        ``(M,)`` rows kept, by falling score.

    Raises:
        ValueError: If the inputs differ in length or are not finite.
    """
    segments, scores, labels = _check(segments, scores, labels)
    order = np.argsort(-scores, kind='stable')
    alive = np.ones(len(scores), dtype=bool)
    members = _members(labels[order])
    ordered, names = segments[order], labels[order]
    kept: list[int] = []
    for row in range(len(order)):
        if max_out is not None and len(kept) >= max_out:
            break
        if not alive[row]:
            continue
        kept.append(row)
        group = members[names[row]]
        group = group[np.searchsorted(group, row, side='right') :]
        group = group[alive[group]]
        alive[group[_tiou_with_one(ordered[row], ordered[group]) >= iou_thr]] = False
    return order[np.array(kept, dtype=np.int64)]


def soft_nms_1d(
    segments: np.ndarray,
    scores: np.ndarray,
    method: str = 'gaussian',
    sigma: float = 0.5,
    iou_thr: float = 0.3,
    min_score: float = 0.001,
    labels: np.ndarray | None = None,
    max_out: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Soft-NMS (Bodla et al., ICCV 2017): overlapping candidates lose score instead of going.

    The candidate of highest score is taken, those of its label decay by
    ``exp(-tiou ** 2 / sigma)`` (``'gaussian'``) or, from ``iou_thr`` up, by ``1 - tiou``
    (``'linear'``), and so on. Since scores only fall, the order of taking is the order of the
    final scores, and the loop over all labels may stop as soon as ``max_out`` are taken.

    Args:
        segments: ``(N, 2)`` starts and ends.
        scores: ``(N,)``.
        method: ``'gaussian'`` or ``'linear'``.
        sigma: Width of the Gaussian decay, > 0.
        iou_thr: Where linear decay begins.
        min_score: Candidates whose decayed score is below are not taken.
        labels: ``(N,)``; candidates decay only their own label. Default: all are one label.
        max_out: Stop after so many.

    Returns:
        ``(M,)`` rows taken, by falling decayed score, and their ``(M,)`` decayed scores.

    Raises:
        ValueError: If the inputs differ in length or are not finite, or the method is unknown.
    """
    segments, scores, labels = _check(segments, scores, labels)
    if method not in ('gaussian', 'linear'):
        raise ValueError(f"method must be 'gaussian' or 'linear', got {method!r}")
    if not sigma > 0:
        raise ValueError(f'sigma must be > 0, got {sigma}')
    members = _members(labels)
    left = scores.copy()
    limit = len(scores) if max_out is None else min(max_out, len(scores))
    taken: list[int] = []
    taken_scores: list[float] = []
    while len(taken) < limit:
        top = int(np.argmax(left))
        score = float(left[top])
        if score < min_score or score == -np.inf:
            break
        taken.append(top)
        taken_scores.append(score)
        left[top] = -np.inf
        group = members[int(labels[top])]
        group = group[(group != top) & (left[group] >= min_score)]
        members[int(labels[top])] = group
        tiou = _tiou_with_one(segments[top], segments[group])
        if method == 'gaussian':
            left[group] *= np.exp(-(tiou**2) / sigma)
        else:
            left[group] *= np.where(tiou >= iou_thr, 1 - tiou, 1.0)
    return np.array(taken, dtype=np.int64), np.array(taken_scores, dtype=np.float64)


def segment_voting(
    kept_segments: np.ndarray,
    segments: np.ndarray,
    scores: np.ndarray,
    iou_thr: float,
    kept_labels: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Move kept segments to the mean of the candidates around them (box voting).

    A candidate of the same label with ``tiou >= iou_thr`` has the weight ``tiou * score``. A
    segment that no candidate supports (one without length, say) stays where it is.

    Args:
        kept_segments: ``(M, 2)`` segments to refine.
        segments: ``(N, 2)`` all candidates.
        scores: ``(N,)`` their scores before suppression.
        iou_thr: Smallest tIoU of a vote.
        kept_labels: ``(M,)``; default: all are one label.
        labels: ``(N,)``; default: all are one label.

    Returns:
        ``(M, 2)`` float64 refined segments.

    Raises:
        ValueError: If the inputs differ in length or are not finite.
    """
    segments, scores, labels = _check(segments, scores, labels)
    kept, _, kept_labels = _check(kept_segments, np.zeros(len(kept_segments)), kept_labels)
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
