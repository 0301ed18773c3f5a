"""The check that a mimic loss stands between heads that it can compare."""

from __future__ import annotations

from typing import Any

# Which mimic loss is for which head, by what the head gives.
_LOSSES = dict(
    PointOutputs='PointPredictionMimicLoss',
    QueryOutputs='QueryPredictionMimicLoss',
    ScoreMapOutputs='GTADPredictionMimicLoss',
    AFSDOutputs='AFSDPredictionMimicLoss',
    MaskOutputs='MaskPredictionMimicLoss',
)


def check_outputs(kind: type, student: Any, teacher: Any) -> None:
    """Refuse outputs of a student or a teacher that are not of one kind.

    Args:
        kind: Type of the outputs that the calling loss compares.
        student: What the student's recorder read.
        teacher: What the teacher's recorder read.

    Raises:
        TypeError: If one of them is of another type; the error names the loss to take for it.
    """
    for side, outputs in (('student', student), ('teacher', teacher)):
        if isinstance(outputs, kind):
            continue
        found = type(outputs).__name__
        loss = _LOSSES.get(found)
        raise TypeError(
            f'prediction mimic: the {side} gives {found}, {_LOSSES[kind.__name__]} compares '
            f'{kind.__name__}; '
            + (f'take {loss}' if loss else 'let `source` and `item` of its recorder name a head')
        )
