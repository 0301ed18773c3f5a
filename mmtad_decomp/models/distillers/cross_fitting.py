"""Several teachers of one student, each asked only about videos that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .frozen_teacher import FrozenTeacher


def choose_teacher(teachers: Sequence[FrozenTeacher], video_id: str | None) -> int:
    """The place of the first teacher whose training left a video out.

    Args:
        teachers: Loaded teachers.
        video_id: Of a training video; None where a data set does not name its videos.

    Raises:
        ValueError: If no teacher left it out, or one does not say which videos it did.
    """
    for place, teacher in enumerate(teachers):
        if teacher.left_out is None:
            raise ValueError(
                f'teacher checkpoint {teacher.checkpoint} does not say which videos its training '
                'left out, so it cannot be one of several; train it with '
                '`train_dataloader.dataset.leave_out`, or name one checkpoint alone in '
                '`model.teacher_checkpoint`'
            )
        if video_id in teacher.left_out:
            return place
    raise ValueError(
        f'each teacher of `model.teacher_checkpoint` was trained on video {video_id!r}: '
        f'{[teacher.checkpoint for teacher in teachers]}; add a teacher for each part of '
        '`leave_out`, trained on the same annotation file'
    )


def take_samples(batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Some samples of a model's keyword arguments.

    Args:
        batch: Tensors ``(N, ...)``, lists of N samples, or None.
        rows: Places of the samples.
    """
    taken = {}
    for key, value in batch.items():
        if isinstance(value, Tensor):
            value = value[torch.tensor(rows, device=value.device)]
        elif value is not None:
            value = [value[row] for row in rows]
        taken[key] = value
    return taken


def join_samples(outputs: Sequence[Any], rows: Sequence[Sequence[int]], axis: int = 0) -> Any:
    """Put outputs for some samples each together to the outputs for all of them.

    Args:
        outputs: Of the same type: tensors, or tuples and dicts of them. Their samples lie along
            ``axis``, but where a named tuple has a method ``batch_axis(field)`` that names another
            one. Other values, such as strides, are those of the first output.
        rows: For each output the places of its samples among all.
        axis: Of the samples.

    Raises:
        ValueError: If a tensor has not one entry per sample along the axis.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        for output, places in zip(outputs, rows, strict=True):
            if output.ndim <= axis or output.shape[axis] != len(places):
                raise ValueError(
                    f'an output of the shape {tuple(output.shape)} has not one entry for each of '
                    f'{len(places)} samples along axis {axis}, so outputs of several teachers '
                    'cannot be put together; name one checkpoint in `model.teacher_checkpoint`'
                )
        order = torch.tensor([place for places in rows for place in places], device=first.device)
        return torch.cat(tuple(outputs), axis).index_select(axis, order.argsort())
    if isinstance(first, dict):
        return {key: join_samples([o[key] for o in outputs], rows, axis) for key in first}
    if isinstance(first, tuple) and hasattr(first, '_fields'):
        batch_axis = getattr(first, 'batch_axis', lambda field: axis)
        return type(first)(
            *(
                join_samples(values, rows, batch_axis(field))
                for field, values in zip(first._fields, zip(*outputs, strict=True), strict=True)
            )
        )
    if isinstance(first, (tuple, list)):
        joined = (join_samples(values, rows, axis) for values in zip(*outputs, strict=True))
        return type(first)(joined)
    return first
