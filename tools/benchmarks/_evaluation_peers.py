"""The evaluators that the evaluation benchmark compares with, each as steps that can be timed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import mmtad_decomp  # noqa: F401  (patches what NumPy 2 breaks in MMAction2)

from ._evaluation_problem import Problem


class ActionFormer:
    """mAP and recall of the ``actionformer`` package, with its default number of workers."""

    def __init__(self, files: dict[str, Path], tious: np.ndarray) -> None:
        from actionformer.utils import metrics

        self._metrics, self._files, self._tious = metrics, files, tious

    def load(self) -> tuple:
        """The evaluator with its ground truth, and the detections."""
        evaluator = self._metrics.ANETdetection(
            str(self._files['annotations']), 'validation', self._tious
        )
        return evaluator, self._metrics.load_pred_seg_from_json(
            str(self._files['peer_submission'])
        )

    @staticmethod
    def _frame(loaded: tuple) -> tuple:
        evaluator, frame = loaded
        return evaluator, frame.assign(label=frame['label'].replace(evaluator.activity_index))

    def average_precision(self, loaded: tuple) -> np.ndarray:
        """``(T, C)`` of the classes that have ground truth."""
        evaluator, frame = self._frame(loaded)
        return evaluator.wrapper_compute_average_precision(frame)

    def recall(self, loaded: tuple) -> np.ndarray:
        """``(T, K, C)`` of the classes that have ground truth."""
        evaluator, frame = self._frame(loaded)
        return evaluator.wrapper_compute_topkx_recall(frame)


class MMAction2:
    """AR@AN of MMAction2."""

    def __init__(self, problem: Problem, files: dict[str, Path], tious: np.ndarray) -> None:
        from mmaction.evaluation import average_recall_at_avg_proposals
        from mmaction.evaluation.metrics import ANetMetric

        self._function, self._import = (
            average_recall_at_avg_proposals,
            ANetMetric._import_proposals,
        )
        self._problem, self._files, self._tious = problem, files, tious

    def load(self) -> tuple:
        """Annotations and proposals from the files, as its metric has them."""
        database = json.loads(self._files['annotations'].read_text())['database']
        truth = {
            name: np.array([item['segment'] for item in video['annotations']])
            for name, video in database.items()
            if video['annotations']
        }
        results = json.loads(self._files['submission'].read_text())['results']
        proposals, _ = self._import(
            [
                dict(video_name=f'v_{name}', proposal_list=items)
                for name, items in results.items()
                if name in truth
            ]
        )
        return truth, proposals, sum(map(len, proposals.values()))

    def average_recall(self, loaded: tuple) -> tuple:
        """Results of the function: recall, average recall, proposals per video, AUC."""
        truth, proposals, total = loaded
        return self._function(
            truth, proposals, total, max_avg_proposals=100, temporal_iou_thresholds=self._tious
        )
