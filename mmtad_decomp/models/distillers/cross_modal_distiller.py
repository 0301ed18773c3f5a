"""Training any detector to mimic a motion teacher."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from .recorder import OutputRecorder
from .teacher import FrozenTeacher


class PairedDataPreprocessor(BaseDataPreprocessor):
    """One batch, seen by the student and by the teacher each through its own preprocessor."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make the student's batch and, in training, the teacher's under ``teacher_batch``."""
        data = self.cast_data(data)
        batch = dict(self.student(data, training))
        if training:
            batch['teacher_batch'] = dict(self.teacher(data, False))
        return batch


@MODELS.register_module()
class CrossModalDistiller(BaseModel):
    """Wrap a student detector, a frozen teacher and the losses between them.

    Nothing of the student is changed: recorders read the outputs of modules named in the config,
    on both sides, and each mimic compares one pair. With a plain detector as the student this is
    conventional distillation, with :class:`DecomposedDetector` the decomposed one. Testing runs
    the student alone.

    The teacher is loaded when training starts; it is neither in the checkpoint nor among the
    parameters.

    Args:
        student: Config of the student.
        distill: ``teacher``: ``dict(detector=..., modality=..., allow_pickle=False)``. Without
            ``detector``, the teacher is the student's base detector; ``modality`` replaces the
            input module of its data preprocessor. ``mimics``: maps names to
            ``dict(loss=..., student=recorder, teacher=recorder)``, a recorder being
            ``dict(source=..., call=-1, item=None)``, see :class:`OutputRecorder`.
        teacher_checkpoint: The teacher's checkpoint file, or the work directory of its training.

    Attributes:
        loss_factors: Factor of each mimic's loss and, under ``'app'``, of the student's losses on
            its appearance branch. A hook may change them while training runs.
    """

    def __init__(
        self,
        student: dict,
        distill: dict,
        teacher_checkpoint: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        distill = copy.deepcopy(dict(distill))
        student_model = MODELS.build(student)
        teacher = FrozenTeacher(
            checkpoint=teacher_checkpoint, **self._teacher_config(student, distill['teacher'])
        )
        super().__init__(
            data_preprocessor=PairedDataPreprocessor(
                student_model.data_preprocessor, teacher.detector.data_preprocessor
            ),
            init_cfg=init_cfg,
        )
        self.student = student_model
        self._hidden = [teacher]
        self.mimics = nn.ModuleDict()
        self._recorders: dict[str, tuple[OutputRecorder, OutputRecorder]] = {}
        for name, mimic in distill['mimics'].items():
            self.mimics[name] = MODELS.build(mimic['loss'])
            self._recorders[name] = (
                OutputRecorder(self.student, **mimic['student']),
                OutputRecorder(teacher.detector, **mimic['teacher']),
            )
        self.loss_factors = dict.fromkeys(['app', *self.mimics], 1.0)

    @staticmethod
    def _teacher_config(student: dict, teacher: dict) -> dict[str, Any]:
        teacher = dict(teacher)
        detector = teacher.pop('detector', None) or student.get('detector', student)
        detector = copy.deepcopy(dict(detector))
        modality = teacher.pop('modality', None)
        if modality is not None:
            detector['data_preprocessor']['modality'] = modality
        return dict(detector=detector, **teacher)

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, kept out of the module tree."""
        return self._hidden[0]

    def _apply(self, fn, *args, **kwargs) -> CrossModalDistiller:
        self.teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialise the student and load the teacher."""
        self.teacher.load()
        super().init_weights()

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        teacher_batch: dict | None = None,
        **kwargs,
    ) -> Any:
        """Run the student; in mode ``'loss'`` add what the teacher asks for.

        Args:
            inputs: The student's input.
            data_samples: As the student wants them.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
            teacher_batch: The teacher's keyword arguments; needed in mode ``'loss'``.
            **kwargs: Further keyword arguments of the student, such as ``masks``.
        """
        batch = dict(inputs=inputs, data_samples=data_samples, **kwargs)
        if mode != 'loss':
            return self.student(**batch, mode=mode)
        with ExitStack() as stack:
            for recorder in (r for pair in self._recorders.values() for r in pair):
                stack.enter_context(recorder.recording())
            with torch.no_grad():
                self.teacher.detector(**teacher_batch, mode='tensor')
            losses = dict(self.student(**batch, mode='loss'))
        for key in losses:
            if key.startswith('app_'):
                losses[key] = losses[key] * self.loss_factors['app']
        for name, mimic in self.mimics.items():
            own, other = self._recorders[name]
            loss = mimic(own.output(), other.output(), kwargs.get('masks'))
            losses[f'loss_{name}'] = loss * self.loss_factors[name]
            own.clear()
            other.clear()
        return losses
