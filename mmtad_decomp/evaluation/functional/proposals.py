"""Average recall of proposals against their average number per video (AR@AN)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .grouping import inverse, near_pairs, order_by_score, stable_argsort
from .tables import GroundTruth, Predictions, check_problem

POINTS = 100
"""Points of the curve: 1 %, 2 %, ... 100 % of the proposals."""

_NEVER = np.iinfo(np.int64).max


class ProposalRecall(NamedTuple):
    """The curve of average recall against the average number of proposals.

    Attributes:
        recall: ``(T, 100)`` per threshold and point of the curve.
        average_recall: ``(100,)`` mean over the thresholds.
        proposals_per_video: ``(100,)`` average number of proposals (AN) at each point.
        auc: Area under the curve over its length, in percent.
    """

    recall: np.ndarray
    average_recall: np.ndarray
    proposals_per_video: np.ndarray
    auc: float

    def at(self, number: float) -> np.ndarray:
        """``(T,)`` recall with an average number of proposals that is a point of the curve.

        Raises:
            ValueError: If it is not one of the points.
        """
        point = int(np.argmin(np.abs(self.proposals_per_video - number)))
        if not np.isclose(self.proposals_per_video[point], number, rtol=1e-6):
            raise ValueError(
                f'{number} proposals are not a point of the curve, whose {POINTS} points end at '
                f'{self.proposals_per_video[-1]:g}'
            )
        return self.recall[:, point]


def _curve(recall: np.ndarray, proposals_per_video: np.ndarray) -> ProposalRecall:
    average = recall.mean(axis=0)
    steps = np.diff(proposals_per_video)
    area = (steps * (average[1:] + average[:-1]) / 2).sum()
    auc = 100 * float(area) / float(proposals_per_video[-1])
    return ProposalRecall(recall, average, proposals_per_video, auc)


def _check_videos(table: GroundTruth | Predictions, name: str, num_videos: int) -> None:
    videos = table.videos
    if len(videos) and not (videos.min() >= 0 and videos.max() < num_videos):
        raise ValueError(
            f'{name}.videos must be in [0, {num_videos}), got [{videos.min()}, {videos.max()}]'
        )


def _first_finds(
    ground_truth: GroundTruth, predictions: Predictions, thresholds: np.ndarray, num_videos: int
) -> np.ndarray:
    """``(T, G)`` rank, in its video, of the first proposal that reaches each threshold."""
    order = order_by_score(predictions.scores)
    order = order[stable_argsort(predictions.videos[order], num_videos)]
    owned = np.bincount(predictions.videos, minlength=num_videos)
    ranks = inverse(order) - (np.cumsum(owned) - owned)[predictions.videos]
    found = np.full((len(thresholds), len(ground_truth.labels)), _NEVER)
    for instance, proposal, tiou in near_pairs(
        ground_truth.segments.astype(np.float32),
        ground_truth.videos,
        predictions.segments.astype(np.float32),
        predictions.videos,
        thresholds.min(),
    ):
        rank = ranks[proposal]
        for row, threshold in zip(found, thresholds):
            keep = np.flatnonzero(tiou >= threshold)
            np.minimum.at(row, instance[keep], rank[keep])
    return found


def _count_hits(found: np.ndarray, kept: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """``(T, 100)`` number of instances that are found at each point of the curve.

    Args:
        found: ``(T, G)`` rank of the first proposal that finds each instance.
        kept: ``(G,)`` number of proposals that count in the instance's video.
        shares: ``(100,)`` rising shares of them.
    """
    rows = np.arange(len(found))[:, None] * (POINTS + 1)
    first = np.zeros(len(found) * (POINTS + 1), dtype=np.int64)
    order = np.argsort(kept, kind='stable')
    numbers, begin = np.unique(kept[order], return_index=True)
    for number, same in zip(numbers, np.split(order, begin[1:])):
        allowed = np.minimum((number * shares).astype(np.int64), number)
        point_of_rank = np.searchsorted(allowed, np.arange(number + 1), side='right')
        point = point_of_rank[np.minimum(found[:, same], number)]
        first += np.bincount((rows + point).reshape(-1), minlength=len(first))
    return np.cumsum(first.reshape(len(found), -1), axis=1)[:, :POINTS]


def average_recall(
    ground_truth: GroundTruth,
    predictions: Predictions,
    tious: object,
    num_videos: int,
    max_avg_proposals: float | None = 100,
) -> ProposalRecall:
    """Average recall at each average number of proposals, as MMAction2 and ActivityNet count it.

    Labels play no part: an instance is found by any proposal of its video. One proposal may find
    several instances.

    The number of proposals is a share of each video's own, so that it is ``max_avg_proposals``
    per video on average. With ``V`` videos, ``P`` proposals and a limit ``A`` the rules are:

    - Of a video's ``n`` proposals the best ``m = min(floor(n * A * V / P), n)`` count.
    - At point ``j`` of 100 they are its best ``floor(m * j / 100 * A * V / M)``, at most ``m``,
      where ``M`` is the sum of ``m``. Rounding down, twice, makes their true average somewhat
      smaller than the nominal number ``A * j / 100``.
    - Times and tIoUs are rounded to float32 before they are compared with the thresholds.
    - Videos without instances count in ``V``; those without proposals have no instance found.

    Proposals of equal score keep their order. (MMAction2 sorts them unstably.) Without instances
    every recall and the area are NaN.

    Args:
        ground_truth: The annotations; ``videos`` in ``[0, num_videos)``.
        predictions: The proposals, in any order; ``videos`` in ``[0, num_videos)``.
        tious: ``(T,)`` thresholds in (0, 1]; ActivityNet's are 0.5, 0.55, ... 0.95.
        num_videos: Number of videos ``V``.
        max_avg_proposals: Largest average number ``A``; None for ``P / V``.

    Raises:
        ValueError: If a table, a threshold or a number is malformed.
    """
    any_class = np.iinfo(np.int64).max
    ground_truth, predictions, thresholds = check_problem(
        ground_truth, predictions, tious, any_class
    )
    _check_videos(ground_truth, 'ground_truth', num_videos)
    _check_videos(predictions, 'predictions', num_videos)
    if max_avg_proposals is not None and not 0 < max_avg_proposals < np.inf:
        raise ValueError(f'max_avg_proposals must be > 0 or None, got {max_avg_proposals!r}')
    total = len(predictions.scores)
    most = total / num_videos if max_avg_proposals is None else float(max_avg_proposals)
    shares = np.arange(1, POINTS + 1) / 100.0
    owned = np.bincount(predictions.videos, minlength=num_videos)
    ratio = most * float(num_videos) / total if total else 1.0
    kept = np.minimum((owned * ratio).astype(np.int64), owned)
    if not len(ground_truth.labels):
        return _curve(np.full((len(thresholds), POINTS), np.nan), shares * max(most, 1.0))
    if not kept.any():
        return _curve(np.zeros((len(thresholds), POINTS)), shares * max(most, 1.0))

    found = _first_finds(ground_truth, predictions, thresholds, num_videos)
    shares = shares * (most * float(num_videos) / kept.sum())
    hits = _count_hits(found, kept[ground_truth.videos], shares)
    return _curve(hits / len(ground_truth.labels), shares * (kept.sum() / num_videos))
