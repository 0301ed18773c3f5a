"""AR@AN of temporal action proposals, as an MMEngine metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.logging import print_log

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, average_recall
from mmtad_decomp.evaluation.functional.proposals import POINTS
from mmtad_decomp.postprocessing import WindowResult

from .report import proposal_table
from .tad_metric import parse_tious
from .video_metric import VideoMetric


@METRICS.register_module()
class ProposalMetric(VideoMetric):
    """Average recall of proposals against their average number per video, and the area below.

    Labels play no part, so it takes the proposals of a class-agnostic head, whose data samples
    may have no labels, and the detections of any other. The number of proposals is not what
    suppression leaves but what :func:`~mmtad_decomp.evaluation.functional.average_recall` takes of
    it, so let the post-processor keep at least ``max_avg_proposals``.

    Args:
        ann_file: ActivityNet-style JSON with the ground truth.
        tious: Thresholds; ActivityNet's by default.
        max_avg_proposals: Where the curve ends.
        numbers: Average numbers of proposals to report, each a multiple of
            ``max_avg_proposals / 100``.
        **kwargs: The other arguments of :class:`~.video_metric.VideoMetric`.

    Returns of :meth:`evaluate` (with prefix): ``AUC`` in percent, and ``AR@100`` and the like,
    in [0, 1].
    """

    default_prefix = 'proposals'

    def __init__(
        self,
        ann_file: str,
        tious: Sequence[float] = tuple(np.linspace(0.5, 0.95, 10)),
        max_avg_proposals: float = 100,
        numbers: Sequence[int] = (1, 5, 10, 100),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, **kwargs)
        points = np.asarray(numbers, dtype=np.float64) * POINTS / max_avg_proposals
        if not (np.isclose(points, np.rint(points)) & (points >= 0.5) & (points < 100.5)).all():
            raise ValueError(
                f'numbers must be multiples of max_avg_proposals / {POINTS} up to '
                f'max_avg_proposals ({max_avg_proposals}), got {list(numbers)}'
            )
        self.tious = parse_tious(tuple(tious))[0]
        self.max_avg_proposals = max_avg_proposals
        self.numbers = tuple(numbers)

    @property
    def result_classes(self) -> tuple[str, ...]:
        """The one class of all proposals."""
        return ('action',)

    def names(self) -> list[str]:
        """Names of the metrics, with prefix."""
        return [f'{self.prefix}/{name}' for name in ('AUC', *map('AR@{}'.format, self.numbers))]

    def read_window(self, sample: dict) -> WindowResult:
        """All candidates of a window, whatever their labels."""
        return WindowResult.from_sample(sample, agnostic=True)

    def compute(self, ground_truth: GroundTruth, predictions: Predictions) -> dict[str, float]:
        """AR@AN and AUC, and a table in the log."""
        num_videos = len(self.annotations.videos)
        curve = average_recall(
            ground_truth, predictions, self.tious, num_videos, self.max_avg_proposals
        )
        table = proposal_table(self.tious, self.numbers, curve)
        print_log(
            f'{self.annotations.ann_file}: {self.annotations.census}\n'
            f'Recall (%) by average number of proposals and tIoU, AUC {curve.auc:.2f}\n{table}',
            logger='current',
        )
        recalls = {f'AR@{number}': float(curve.at(number).mean()) for number in self.numbers}
        return dict(AUC=curve.auc, **recalls)
