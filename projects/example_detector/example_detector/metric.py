"""How well the detector does."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS


@METRICS.register_module()
class StepAccuracy(BaseMetric):
    """Share of steps on whose right side of 0.5 the score is."""

    default_prefix = 'steps'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count right steps of each sequence."""
        for sample in data_samples:
            right = (sample['scores'] > 0.5) == (sample['actionness'] > 0.5)
            self.results.append((int(right.sum()), right.numel()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``accuracy`` in [0, 1]."""
        right, total = map(sum, zip(*results))
        return dict(accuracy=right / total)
