"""Training any detector to mimic a motion teacher."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from .cross_fitting import choose_teacher, join_samples, take_samples
from .frozen_teacher import FrozenTeacher
from .output_recorder import OutputRecorder


class PairedDataPreprocessor(BaseDataPreprocessor):
    """One batch, seen by the student and by the teacher each through its own preprocessor."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher

    def train(self, mode: bool = True) -> PairedDataPreprocessor:
        """Set the student's mode; the teacher's stays eval."""
        super().train(mode)
        self.teacher.train(False)
        return self

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
    conventional distillation, with a ``DecomposedDetector`` or ``DecomposedLocalizer`` the
    decomposed one. Testing runs the student alone.

    The teacher is loaded when training starts; it is neither in the checkpoint nor among the
    parameters. A deep copy, such as the averaged model of MMEngine's ``EMAHook``, shares it:
    moving or casting the copy leaves the teacher where it is. A copy that computes losses where
    its teacher is not, or with another type of numbers, takes a teacher of its own there.

    Args:
        student: Config of the student.
        distill: ``teacher``: ``dict(detector=..., modality=..., backbone=..., neck=...,
            allow_pickle=False)``. Without ``detector``, the teacher is the student's base
            detector; ``modality`` replaces the input module of its data preprocessor, and
            ``backbone`` changes options of its encoder (``dict(in_channels=2)`` for a teacher on
            optical flow), ``neck`` those of its projection (``dict(in_channels=30)`` for features
            of another width). ``mimics``: maps names to
            ``dict(loss=..., student=recorder, teacher=recorder, masks=recorder)``, a recorder
            being ``dict(source=..., call=-1, item=None)``, see :class:`OutputRecorder`. ``masks``
            reads the masks of the compared features from the student; the default is
            ``dict(source='feature_masks')`` for a student that has this module, as all detectors
            of this package do, and the student's input masks, if any, for another one.
        teacher_checkpoint: The teacher's checkpoint file, or the work directory of its training.
            A list is of teachers that each left out other training videos
            (``TADDataset(leave_out=...)``): each is asked about those alone (cross-fitting), so
            that no target comes from a teacher that knows the video's labels by heart.

    Attributes:
        loss_factors: Factor of each mimic's loss and, where the student has an appearance branch
            (an ``appearance_weight``), under ``'app'`` of its losses there. A hook may change them
            while training runs.

    Raises:
        ValueError: If ``distill`` is incomplete, has unknown keys or names a missing module, or
            if teacher and student have different feature strides, or steps that lie more than half
            a stride apart. Steps that lie less apart are reported.
    """

    def __init__(
        self,
        student: dict,
        distill: dict,
        teacher_checkpoint: str | Sequence[str] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        distill = copy.deepcopy(dict(distill))
        _check_keys('distill', distill, {'teacher', 'mimics'})
        student_model = MODELS.build(student)
        settings = self._teacher_config(student, distill['teacher'])
        if teacher_checkpoint is None or isinstance(teacher_checkpoint, str):
            teachers = [FrozenTeacher(checkpoint=teacher_checkpoint, **settings)]
        else:
            teachers = [FrozenTeacher(checkpoint=path, **settings) for path in teacher_checkpoint]
        if not teachers:
            raise ValueError('model.teacher_checkpoint is empty; name one checkpoint or more')
        super().__init__(
            data_preprocessor=PairedDataPreprocessor(
                student_model.data_preprocessor, teachers[0].detector.data_preprocessor
            ),
            init_cfg=init_cfg,
        )
        self.student = student_model
        self._hidden = teachers
        self._moves_teachers = True
        self._check_steps()
        self.mimics = nn.ModuleDict()
        self._recorders: dict[str, dict[str, OutputRecorder]] = {}
        self._teacher_recorders: dict[str, list[OutputRecorder]] = {}
        default = {}
        if hasattr(self.student, 'feature_masks'):
            default = dict(masks=dict(source='feature_masks'))
        for name, mimic in distill['mimics'].items():
            _check_keys(f'distill.mimics.{name}', mimic, {'loss', 'student', 'teacher'}, {'masks'})
            self.mimics[name] = MODELS.build(mimic['loss'])
            self._recorders[name] = {
                part: self._recorder(name, part, recorder, self.student)
                for part, recorder in {**default, **mimic}.items()
                if part not in ('loss', 'teacher')
            }
            self._teacher_recorders[name] = [
                self._recorder(name, 'teacher', mimic['teacher'], teacher.detector)
                for teacher in self.teachers
            ]
        scheduled = ['app'] if hasattr(self.student, 'appearance_weight') else []
        if set(scheduled) & set(self.mimics):
            raise ValueError("distill.mimics: 'app' names the appearance losses; rename the mimic")
        self.loss_factors = dict.fromkeys([*scheduled, *self.mimics], 1.0)

    def _check_steps(self) -> None:
        """Refuse a teacher whose feature steps do not lie where the student's do."""
        own, other = _steps(self.student), _steps(self.teacher.detector)
        if own is None or other is None or own == other:
            return
        if own[0] != other[0]:
            raise ValueError(
                f'the student has a feature step every {own[0]} frames, the teacher every '
                f'{other[0]}, so their steps cannot be compared: give both backbones the same '
                'temporal stride (`distill.teacher.detector`)'
            )
        places = (
            f"the student's first feature step lies at frame {own[1]:g}, the teacher's at "
            f'{other[1]:g}, with {own[0]} frames from step to step'
        )
        if abs(own[1] - other[1]) > own[0] / 2:
            raise ValueError(
                f'{places}, so their steps cannot be compared: give both backbones the same '
                'temporal offset (`distill.teacher.detector`)'
            )
        print_log(places, logger='current', level=logging.WARNING)

    @staticmethod
    def _recorder(name: str, part: str, config: dict, model: nn.Module) -> OutputRecorder:
        where = f'distill.mimics.{name}.{part}'
        _check_keys(where, config, {'source'}, {'call', 'item'})
        try:
            return OutputRecorder(model, **config)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error

    @staticmethod
    def _teacher_config(student: dict, teacher: dict) -> dict[str, Any]:
        teacher = dict(teacher)
        optional = {'detector', 'modality', 'backbone', 'neck', 'allow_pickle'}
        _check_keys('distill.teacher', teacher, set(), optional)
        detector = teacher.pop('detector', None) or student.get('detector', student)
        detector = copy.deepcopy(dict(detector))
        modality = teacher.pop('modality', None)
        if modality is not None:
            if 'data_preprocessor' not in detector:
                raise ValueError(
                    'distill.teacher.modality: the teacher has no `data_preprocessor` whose input '
                    'it could replace; give the detector one, or name distill.teacher.detector'
                )
            detector['data_preprocessor']['modality'] = modality
        for part, reason in (('backbone', 'reads features'), ('neck', 'has no projection')):
            options = teacher.pop(part, None)
            if options is not None:
                if detector.get(part) is None:
                    raise ValueError(
                        f'distill.teacher.{part}: the teacher {reason}, it has no {part} to '
                        'change; remove the key'
                    )
                detector[part].update(options)
        return dict(detector=detector, **teacher)

    @property
    def teachers(self) -> list[FrozenTeacher]:
        """The teachers, kept out of the module tree."""
        return self._hidden

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, or the first of several."""
        return self._hidden[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> CrossModalDistiller:
        # The preprocessor of the teacher is a child of one's own, which the copy may move.
        own = set(self.data_preprocessor.modules())
        for teacher in self.teachers:
            memo.update((id(part), part) for part in teacher.modules() if part not in own)
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__dict__, memo))
        twin._moves_teachers = False
        return twin

    def _apply(self, fn, *args, **kwargs) -> CrossModalDistiller:
        for teacher in self.teachers if self._moves_teachers else ():
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def _fetch_teachers(self) -> None:
        """Take copies of shared teachers whose device or type is not the student's."""
        if self._moves_teachers:
            return
        place = _place(self.student)
        if place == _place(self.teacher):
            return
        self._hidden, self._teacher_recorders = copy.deepcopy(
            (self._hidden, self._teacher_recorders)
        )
        for teacher in self.teachers:
            teacher.to(*place)
        self._moves_teachers = True

    def init_weights(self) -> None:
        """Initialise the student and load the teachers."""
        for teacher in self.teachers:
            teacher.load()
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

        Raises:
            ValueError: If a mimic's loss has the name of one of the student's; if each of several
                teachers was trained on a video, or their outputs have no axis of samples.
            RuntimeError: If there is no teacher's batch, or a recorder finds no output.
        """
        batch = dict(inputs=inputs, data_samples=data_samples, **kwargs)
        if mode != 'loss':
            return self.student(**batch, mode=mode)
        if teacher_batch is None:
            raise RuntimeError(
                "mode 'loss' needs `teacher_batch`; the model's data_preprocessor makes it when "
                'called with training=True'
            )
        self._fetch_teachers()
        recorders = [r for parts in self._recorders.values() for r in parts.values()]
        recorders += [r for each in self._teacher_recorders.values() for r in each]
        try:
            with ExitStack() as stack:
                for recorder in recorders:
                    stack.enter_context(recorder.recording())
                rows = self._ask_teachers(teacher_batch)
                losses = dict(self.student(**batch, mode='loss'))
            return self._add_mimics(losses, kwargs.get('masks'), rows)
        finally:
            for recorder in recorders:
                recorder.clear()

    @torch.no_grad()
    def _ask_teachers(self, batch: dict) -> dict[int, list[int]]:
        """Run each teacher on the samples that it is asked about.

        Returns:
            For each teacher that was asked the places of its samples in the batch; nothing where
            there is one teacher, which is asked about all.
        """
        if len(self.teachers) == 1:
            self.teacher.detector(**batch, mode='tensor')
            return {}
        rows: dict[int, list[int]] = {}
        for place, sample in enumerate(batch['data_samples']):
            teacher = choose_teacher(self.teachers, sample.metainfo.get('video_id'))
            rows.setdefault(teacher, []).append(place)
        for teacher, places in rows.items():
            self.teachers[teacher].detector(**take_samples(batch, places), mode='tensor')
        return rows

    def _teacher_output(self, mimic: str, rows: dict[int, list[int]]) -> Any:
        """What the teachers say about the whole batch."""
        recorders = self._teacher_recorders[mimic]
        if not rows:
            return recorders[0].output()
        outputs = [recorders[teacher].output() for teacher in rows]
        try:
            return join_samples(outputs, list(rows.values()))
        except ValueError as error:
            raise ValueError(f'distill.mimics.{mimic}.teacher: {error}') from error

    def _add_mimics(
        self, losses: dict[str, Tensor], masks: Tensor | None, rows: dict[int, list[int]]
    ) -> dict[str, Tensor]:
        """Scale the appearance losses and add the mimics'."""
        if 'app' in self.loss_factors:
            for key in losses:
                if key.startswith('app_'):
                    losses[key] = losses[key] * self.loss_factors['app']
        for name, mimic in self.mimics.items():
            if f'loss_{name}' in losses:
                raise ValueError(
                    f'distill.mimics: the student has a loss `loss_{name}` of its own; rename '
                    f'the mimic {name!r}'
                )
            parts = self._recorders[name]
            valid = parts['masks'].output() if 'masks' in parts else masks
            loss = mimic(parts['student'].output(), self._teacher_output(name, rows), valid)
            losses[f'loss_{name}'] = loss * self.loss_factors[name]
        return losses


def _place(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and type of the weights of a model."""
    weight = next(weight for weight in model.parameters() if weight.is_floating_point())
    return weight.device, weight.dtype


def _steps(model: nn.Module) -> tuple[int, float] | None:
    """Feature stride and offset of a detector in frames; None where it tells none."""
    stride = getattr(model, 'feature_stride', None)
    if stride is None:
        return None
    offset = getattr(model, 'feature_offset', None)
    return stride, (stride - 1) / 2 if offset is None else offset


def _check_keys(
    where: str, config: dict, needed: set[str], optional: set[str] | frozenset = frozenset()
) -> None:
    """Raise ``ValueError`` where keys of a config are missing or unknown."""
    missing, unknown = sorted(needed - set(config)), sorted(set(config) - needed - optional)
    if missing or unknown:
        raise ValueError(
            f'{where} lacks {missing} and has unknown keys {unknown}; it takes '
            f'{sorted(needed | optional)}'
        )
