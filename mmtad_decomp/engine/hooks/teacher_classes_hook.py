"""Refusing a teacher of other classes."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtad_decomp.annotations.content import class_difference
from mmtad_decomp.utils import unwrap_model


@HOOKS.register_module()
class TeacherClassesHook(Hook):
    """Compare the classes that a teacher was trained for with those of the data set.

    A teacher with as many classes in another order fits, and teaches nonsense. Its checkpoint
    names its classes; where it does not, or the data set has none, nothing is compared.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, once the teacher is loaded.

        Raises:
            ValueError: If the classes or their order differ.
        """
        ours = getattr(runner.train_dataloader.dataset, 'metainfo', {}).get('classes')
        for teacher in getattr(unwrap_model(runner.model), 'teachers', ()):
            theirs = teacher.classes
            how = '' if theirs is None or ours is None else class_difference(theirs, ours)
            if how:
                raise ValueError(
                    f'the teacher {teacher.checkpoint} and the data set have {how}. Train a '
                    'teacher with the same `metainfo.classes`, or set `model.teacher_checkpoint` '
                    'to one that was'
                )
