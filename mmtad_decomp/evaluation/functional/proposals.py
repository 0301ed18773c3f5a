"""Average recall of proposals against their average number per video (AR@AN)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .grouping import chunks, order_by_score, ranges, tiou_of_rows
from .tables import GroundTruth, Predictions, check_ground_truth, check_predictions, check_tious

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
    instances: np.ndarray,
    first: np.ndarray,
    counts: np.ndarray,
    proposals: np.ndarray,
    thresholds: np.ndarray,
) -> np.ndarray:
    """``(T, G)`` rank, in its video, of the first proposal that reaches each threshold.

    Args:
        instances: ``(G, 2)`` float32.
        first: ``(G,)`` row of the best proposal of the instance's video.
        counts: ``(G,)`` number of proposals to look at.
        proposals: ``(P, 2)`` float32, by video and falling score.
        thresholds: ``(T,)``.
    """
    found = np.full((len(thresholds), len(instances)), _NEVER)
    for rows in chunks(counts):
        n = counts[rows]
        instance = np.repeat(np.arange(rows.start, rows.stop), n)
        proposal = ranges(first[rows], n)
        tiou = tiou_of_rows(proposals[proposal], instances[instance])
        near = np.flatnonzero(tiou >= thresholds.min())
        instance, proposal, tiou = instance[near], proposal[near], tiou[near].astype(np.float64)
        for row, threshold in zip(found, thresholds):
            keep = np.flatnonzero(tiou >= threshold)
            owner, at = np.unique(instance[keep], return_index=True)
            row[owner] = proposal[keep[at]] - first[owner]
    return found


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

    Proposals of equal score keep their order. (MMAction2 sorts them unstably.)

    Args:
        ground_truth: The annotations; ``videos`` in ``[0, num_videos)``.
        predictions: The proposals, in any order; ``videos`` in ``[0, num_videos)``.
        tious: ``(T,)`` thresholds in (0, 1]; ActivityNet's are 0.5, 0.55, ... 0.95.
        num_videos: Number of videos ``V``.
        max_avg_proposals: Largest average number ``A``; None for ``P / V``.

    Raises:
        ValueError: If a table, a threshold or a number is malformed, or there is no instance.
    """
    thresholds = check_tious(tious)
    limit = np.iinfo(np.int64).max
    ground_truth = check_ground_truth(ground_truth, limit)
    predictions = check_predictions(predictions, limit)
    _check_videos(ground_truth, 'ground_truth', num_videos)
    _check_videos(predictions, 'predictions', num_videos)
    if not len(ground_truth.labels):
        raise ValueError('ground_truth has no instance, so that recall has no meaning')
    if max_avg_proposals is not None and not 0 < max_avg_proposals < np.inf:
        raise ValueError(f'max_avg_proposals must be > 0 or None, got {max_avg_proposals!r}')
    total = len(predictions.scores)
    most = total / num_videos if max_avg_proposals is None else float(max_avg_proposals)
    shares = np.arange(1, POINTS + 1) / 100.0
    owned = np.bincount(predictions.videos, minlength=num_videos)
    ratio = most * float(num_videos) / total if total else 1.0
    kept = np.minimum((owned * ratio).astype(np.int64), owned)
    if not kept.any():
        return _curve(np.zeros((len(thresholds), POINTS)), shares * max(most, 1.0))

    order = order_by_score(predictions.scores)
    order = order[np.argsort(predictions.videos[order], kind='stable')]
    by_video = np.argsort(ground_truth.videos, kind='stable')
    video = ground_truth.videos[by_video]
    found = _first_finds(
        ground_truth.segments[by_video].astype(np.float32),
        (np.cumsum(owned) - owned)[video],
        kept[video],
        predictions.segments[order].astype(np.float32),
        thresholds,
    )
    shares = shares * (most * float(num_videos) / kept.sum())
    hits = np.zeros((len(thresholds), POINTS), dtype=np.int64)
    for rows in chunks(np.full(len(video), POINTS)):
        n = kept[video[rows], None]
        allowed = np.minimum((n * shares).astype(np.int64), n)
        for row, ranks in zip(hits, found[:, rows]):
            row += (ranks[:, None] < allowed).sum(axis=0)
    return _curve(hits / len(video), shares * (kept.sum() / num_videos))
