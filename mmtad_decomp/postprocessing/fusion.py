"""Fusing the detections of several models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtad_decomp.structures import pairwise_tiou

from .detections import Detections, by_score, concatenate, take


def check_weights(weights: Sequence[float] | None, count: int) -> np.ndarray:
    """``(count,)`` weights with the largest 1; None weighs all the same.

    Raises:
        ValueError: If there are not ``count`` weights, or one is not finite and > 0.
    """
    values = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all() or not (values > 0).all():
        raise ValueError(f'weights must be {count} numbers > 0, one per model, got {weights}')
    return values / values.max()


def weighted_segment_fusion(
    models: Sequence[Detections],
    weights: Sequence[float] | None = None,
    iou_thr: float = 0.55,
    max_out: int | None = None,
) -> Detections:
    """Weighted boxes fusion (Solovyev et al., arXiv 1910.13302) of 1-D segments.

    For detections that each model has already suppressed. By falling weighted score, a detection
    joins the cluster of its label whose fused segment it overlaps most, with a tIoU > ``iou_thr``,
    or founds a new one. A cluster's segment is the mean of its members' by weighted score; its
    score is the mean weighted score times ``min(T, N) / sum(weights)`` for T members and N
    models, so that what few models found loses score.

    Args:
        models: Detections of each model.
        weights: Weight of each model, > 0; only their ratios count. None weighs all the same.
        iou_thr: Smallest tIoU (exclusive) of a detection with its cluster, in (0, 1).
        max_out: Detections kept; None for all.

    Returns:
        Fused detections by falling score.

    Raises:
        ValueError: If ``iou_thr`` or the weights are out of range.
    """
    if not 0 < iou_thr < 1:
        raise ValueError(f'iou_thr must be in (0, 1), got {iou_thr}')
    shares = check_weights(weights, len(models))
    pool = by_score(concatenate([m._replace(scores=m.scores * w) for m, w in zip(models, shares)]))
    pool = take(pool, pool.scores > 0)
    fused = concatenate(
        [
            _fuse_label(take(pool, pool.labels == label), iou_thr, len(models), shares.sum())
            for label in np.unique(pool.labels)
        ]
    )
    return take(by_score(fused), slice(max_out))


def _fuse_label(
    pool: Detections, iou_thr: float, num_models: int, total_weight: float
) -> Detections:
    """Cluster the detections of one label, which come by falling score."""
    segments, scores, labels = pool
    weighted, mass = np.zeros((len(scores), 2)), np.zeros(len(scores))
    fused, members = np.zeros((len(scores), 2)), np.zeros(len(scores), dtype=np.int64)
    count = 0
    for segment, score in zip(segments, scores):
        at = count
        if count:
            tiou = pairwise_tiou(segment[None], fused[:count])[0]
            if tiou.max() > iou_thr:
                at = int(np.argmax(tiou))
        count += at == count
        weighted[at] += score * segment
        mass[at] += score
        members[at] += 1
        fused[at] = weighted[at] / mass[at]
    weighted, mass, members = weighted[:count], mass[:count], members[:count]
    final = mass / members * np.minimum(members, num_models) / total_weight
    return Detections(fused[:count], final, labels[:count])
