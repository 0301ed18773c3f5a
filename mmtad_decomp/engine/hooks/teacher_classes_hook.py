"""Refusing a teacher of other classes."""

from __future__ import annotations

from collections.abc import Sequence

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

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
            _compare(teacher.checkpoint, teacher.classes, ours)


def _compare(
    checkpoint: str | None, theirs: Sequence[str] | None, ours: Sequence[str] | None
) -> None:
    if theirs is None or ours is None or list(theirs) == list(ours):
        return
    wrong = next((i for i, pair in enumerate(zip(theirs, ours)) if pair[0] != pair[1]), None)
    where = ''
    if wrong is not None:
        where = f'; label {wrong} is {theirs[wrong]!r} there and {ours[wrong]!r} here'
    raise ValueError(
        f'the teacher {checkpoint} was trained for {len(theirs)} classes, which are '
        f'not the {len(ours)} of the data set in the same order{where}. Train a teacher with '
        'the same `metainfo.classes`, or set `model.teacher_checkpoint` to one that was'
    )
