"""AR@AN of MMAction2's localizers, whatever their videos are called."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.evaluation.metrics import ANetMetric
from mmaction.registry import METRICS

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, average_recall

_TIOUS = tuple(np.linspace(0.5, 0.95, 10))
_NUMBERS = (1, 5, 10, 100)


@METRICS.register_module()
class LocalizerProposalMetric(ANetMetric):
    """MMAction2's ``ANetMetric`` of type ``'AR@AN'`` that tells all videos apart.

    ``ANetMetric`` cuts two characters, ActivityNet's ``v_``, off every name: of videos whose names
    agree from the third character on, the last one counts for all. It also gathers the ground
    truth of one process only. Here names are whole, and both travel together. Files written have
    names without ``v_``, as ActivityNet's server wants them.
    """

    def process(self, data_batch: Any, predictions: Sequence[dict]) -> None:
        """Keep proposals and ground truth of a batch of videos.

        Args:
            data_batch: With ``data_samples``, whose ``annotations`` are the instances.
            predictions: Of each video ``video_name`` and ``proposal_list``.
        """
        for sample, found in zip(data_batch['data_samples'], predictions):
            self.keep(found['video_name'], found['proposal_list'], sample.metainfo['annotations'])

    def keep(self, name: str, proposals: Sequence[dict], annotations: Sequence[dict]) -> None:
        """Keep one video.

        Raises:
            ValueError: If a score or time is NaN or infinite.
        """
        rows = np.array([[*p['segment'], p['score']] for p in proposals], dtype=np.float64)
        if not np.isfinite(rows).all():
            raise ValueError(
                f'video "{name}": its proposals have NaN or infinity; the model diverged or its '
                'input is broken'
            )
        segments = [list(map(float, item['segment'])) for item in annotations]
        self.results.append(
            dict(video_name=name, proposal_list=list(proposals), segments=segments)
        )

    def compute_metrics(self, results: list) -> OrderedDict:
        """``auc`` in percent, ``AR@1``, ``AR@5``, ``AR@10`` and ``AR@100``.

        Without instances all of them are NaN.
        """
        if self.out:
            self.dump_results(results)
        videos = list({result['video_name']: result for result in results}.values())
        truth = [(i, segment) for i, video in enumerate(videos) for segment in video['segments']]
        found = [(i, p) for i, video in enumerate(videos) for p in video['proposal_list']]
        numbers, labels = _columns([i for i, _ in truth])
        ground_truth = GroundTruth(numbers, _segments([s for _, s in truth]), labels)
        numbers, labels = _columns([i for i, _ in found])
        scores = np.array([p['score'] for _, p in found], dtype=np.float64)
        segments = _segments([p['segment'] for _, p in found])
        curve = average_recall(
            ground_truth, Predictions(numbers, segments, scores, labels), _TIOUS, len(videos)
        )
        recall = {f'AR@{number}': float(curve.at(number).mean()) for number in _NUMBERS}
        return OrderedDict(auc=curve.auc, **recall)

    @staticmethod
    def proposals2json(results: Sequence[dict], show_progress: bool = False) -> dict:
        """Proposals by video, without ActivityNet's ``v_``."""
        return {r['video_name'].removeprefix('v_'): r['proposal_list'] for r in results}


def _columns(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    videos = np.array(numbers, dtype=np.int64)
    return videos, np.zeros_like(videos)


def _segments(rows: list) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
