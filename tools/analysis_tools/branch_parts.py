"""Detector and metric of branch_ap.py: all branches of a model in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmaction.registry import METRICS, MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.evaluation import TADMetric
from mmtad_decomp.models.detectors import DecomposedDetector
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import TADDataSample


@MODELS.register_module()
class BranchDetector(DecomposedDetector):
    """A trained :class:`DecomposedDetector` that also detects on each branch alone."""

    def predict(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> list[TADDataSample]:
        """Candidates in seconds as ``<branch>_instances`` for every branch.

        Args:
            inputs: See :meth:`TADDetector.forward`.
            masks: As above.
            data_samples: One for each window.
        """
        branches = self.branches(inputs, masks)
        heads = dict(appearance=self.shared_head, motion=self.motion_head, joint=self.head)
        for branch, head in heads.items():
            candidates = head.predict_by_feat(getattr(branches, branch))
            for sample, found in zip(data_samples, self.in_seconds(candidates, data_samples)):
                sample.set_field(found, f'{branch}_instances', dtype=InstanceData)
        return data_samples


@METRICS.register_module()
class BranchMetric(TADMetric):
    """:class:`TADMetric` of the detections of one branch.

    Args:
        branch: ``appearance``, ``motion`` or ``joint``; also the prefix of the metrics.
        **kwargs: Of :class:`TADMetric`.
    """

    def __init__(self, branch: str, **kwargs) -> None:
        super().__init__(**{**kwargs, 'prefix': branch})
        self.branch = branch

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the branch's candidates of a batch of windows."""
        key = f'{self.branch}_instances'
        super().process(
            data_batch, [{**sample, 'pred_instances': sample[key]} for sample in data_samples]
        )

    def oddities(self, videos: Mapping[str, Detections]) -> list[str]:
        """Those of the joint head: what is odd in the annotations is said once, not thrice."""
        return super().oddities(videos) if self.branch == 'joint' else []
