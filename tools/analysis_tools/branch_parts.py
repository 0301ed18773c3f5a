"""Models and metric of branch_ap.py: all branches of a model, and its teacher, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmaction.registry import METRICS, MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.evaluation import TADMetric
from mmtad_decomp.models.detectors import DecomposedDetector, TADDetector
from mmtad_decomp.models.detectors.branches import Branches
from mmtad_decomp.models.distillers import CrossModalDistiller
from mmtad_decomp.models.distillers.cross_modal_distiller import PairedDataPreprocessor
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
        self.predict_branches(inputs, masks, data_samples)
        return data_samples

    def predict_branches(
        self, inputs: Tensor, masks: Tensor, data_samples: list[TADDataSample]
    ) -> Branches:
        """Set what :meth:`predict` does, and return the values that it comes from."""
        branches = self.branches(inputs, masks)
        heads = dict(appearance=self.shared_head, motion=self.motion_head, joint=self.head)
        for branch, head in heads.items():
            candidates = head.predict_by_feat(getattr(branches, branch))
            _add_candidates(branch, self, candidates, data_samples)
        return branches


class _PairedBatches(PairedDataPreprocessor):
    """Makes the teacher's batch in testing, too."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """The student's batch, and the teacher's under ``teacher_batch``."""
        return super().forward(data, True)


@MODELS.register_module()
class BranchDistiller(CrossModalDistiller):
    """A trained :class:`CrossModalDistiller` of a :class:`BranchDetector` that tests its teacher.

    Beside the student's branches it gives the teacher's candidates, ``teacher_instances``, and
    those of the joint head with the teacher's features in place of the motion branch's,
    ``joint_by_teacher_instances``: they tell how much a perfect motion branch would gain.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.data_preprocessor = _PairedBatches(
            self.student.data_preprocessor, self.teacher.detector.data_preprocessor
        )
        self.teacher.load()

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[TADDataSample] | None = None,
        mode: str = 'predict',
        teacher_batch: dict | None = None,
        **kwargs: Tensor,
    ) -> list[TADDataSample]:
        """Candidates of the student's branches, the teacher, and the joint head on its features.

        Args:
            inputs: See :meth:`TADDetector.forward`.
            data_samples: One for each window.
            mode: ``'predict'``.
            teacher_batch: ``inputs`` and ``masks`` of the teacher.
            **kwargs: ``masks`` of the student.
        """
        assert data_samples is not None and teacher_batch is not None  # as in every test
        student, teacher = self.student, self.teacher.detector
        teacher_inputs = {name: teacher_batch[name] for name in ('inputs', 'masks')}
        branches = student.predict_branches(inputs, kwargs['masks'], data_samples)
        steps = branches.masks  # (N, T')
        motion = teacher.head_input(*teacher.encode(**teacher_inputs))  # (N, D, T')
        fused = student.fusion(branches.features.appearance, motion, steps)
        for name, model, feature in (
            ('teacher', teacher, motion),
            ('joint_by_teacher', student, fused),
        ):
            candidates = model.head.predict_by_feat(model.head(feature, steps))
            _add_candidates(name, model, candidates, data_samples)
        return data_samples


def _add_candidates(
    name: str,
    model: TADDetector,
    candidates: list[InstanceData],
    data_samples: list[TADDataSample],
) -> None:
    """Set a head's candidates, in seconds, as ``<name>_instances`` of the windows."""
    for sample, found in zip(data_samples, model.in_seconds(candidates, data_samples)):
        sample.set_field(found, f'{name}_instances', dtype=InstanceData)


@METRICS.register_module()
class BranchMetric(TADMetric):
    """:class:`TADMetric` of the detections of one branch.

    Args:
        branch: ``appearance``, ``motion``, ``joint``, ``teacher`` or ``joint_by_teacher``; also
            the prefix of the metrics.
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
