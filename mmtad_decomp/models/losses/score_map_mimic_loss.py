"""Making the student's score maps those of the teacher."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmtad_decomp.structures import ScoreMapOutputs, valid_pairs

from ..layers import recoverable_sigmoid, straight_through_clamp
from .prediction_mimic_loss import OutputsMimicLoss
from .reduction import batch_divisor

# Least distance of a score to 0 and 1 whose logit is taken.
_EPS = 1e-6


def score_distance(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor,
    distance: str = 'kl',
    temperature: float = 1.0,
) -> Tensor:
    """Distance of scores, summed over valid ones and divided by the teacher's sum of scores.

    Divided so, it reads like a loss per action that the teacher sees, however large the map is.

    Args:
        student: Logits s, any shape.
        teacher: Logits t, same shape; no gradient flows into them.
        valid: bool, broadcastable to them; other scores do not count.
        distance: ``'kl'``: ``tau^2 KL(sigmoid(t / tau) || sigmoid(s / tau))`` of independent
            Bernoulli variables (Hinton et al., 2015); ``'mse'``: the squared difference of scores.
        temperature: tau.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shapes do not agree.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f'score map mimic: student {tuple(student.shape)} and teacher '
            f'{tuple(teacher.shape)} differ; they need the same classes, durations and steps'
        )
    student, teacher = student.float(), teacher.detach().float()
    scores = teacher.sigmoid()
    if distance == 'mse':
        values = (recoverable_sigmoid(student) - scores).square()
    else:
        soft = (teacher / temperature).sigmoid()
        cross, entropy = (
            F.binary_cross_entropy_with_logits(x / temperature, soft, reduction='none')
            for x in (student, teacher)
        )
        values = temperature**2 * (cross - entropy)
    valid = valid.to(values.dtype)
    return (values * valid).sum() / batch_divisor((scores * valid).sum())


def _check_distance(distance: str) -> str:
    if distance not in ('kl', 'mse'):
        raise ValueError(f"distance must be 'kl' or 'mse', got {distance!r}")
    return distance


@MODELS.register_module()
class ScoreMapMimicLoss(BaseModule):
    """One output over (start, duration) pairs or over steps, of any detector (G-TAD, BMN, ...).

    Args:
        distance: ``'kl'`` or ``'mse'``, see :func:`score_distance`.
        from_logits: False where the outputs are scores in [0, 1].
        logit_scale: What a detector multiplies its logits by before the sigmoid (TEM: 0.01).
        temperature: Of ``'kl'``.
        loss_weight: Factor of the result.
    """

    def __init__(
        self,
        distance: str = 'kl',
        from_logits: bool = True,
        logit_scale: float = 1.0,
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.distance = _check_distance(distance)
        self.from_logits = from_logits
        self.logit_scale = logit_scale
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor, masks: Tensor | None = None) -> Tensor:
        """Compare outputs.

        Args:
            student: ``(N, C, D, T)`` over pairs, or ``(N, T)`` or ``(N, C, T)`` over steps.
            teacher: Same shape; no gradient flows into it.
            masks: ``(N, T)`` bool, True at the first L steps of a sample; a pair that reaches
                beyond step L does not count. None takes all T steps as valid.

        Raises:
            TypeError: If an output is no tensor.
            ValueError: If the shapes do not agree.
        """
        for name, output in (('student', student), ('teacher', teacher)):
            if not isinstance(output, Tensor):
                raise TypeError(
                    f'score map mimic: the {name} gives {type(output).__name__}, not a tensor; '
                    'name one of its fields with the `item` of the recorder'
                )
        if masks is None:
            masks = student.new_ones(len(student), student.shape[-1], dtype=torch.bool)
        if masks.shape != (len(student), student.shape[-1]):
            raise ValueError(
                f'score map mimic: masks {tuple(masks.shape)} do not fit an output of '
                f'{tuple(student.shape)}; name the masks of its steps with '
                '`masks=dict(source=...)` in the mimic'
            )
        if student.ndim == 4:
            valid = valid_pairs(masks, student.shape[2])[:, None]
        else:
            valid = masks if student.ndim == 2 else masks[:, None]
        if not self.from_logits:
            student, teacher = (
                straight_through_clamp(x.float(), _EPS, 1 - _EPS).logit()
                for x in (student, teacher)
            )
        student, teacher = (self.logit_scale * x.float() for x in (student, teacher))
        return self.loss_weight * score_distance(
            student, teacher, valid, self.distance, self.temperature
        )


@MODELS.register_module()
class GTADPredictionMimicLoss(OutputsMimicLoss):
    """All predictions of a :class:`GTADHead`: class maps, the tIoU map, starts and ends.

    Class maps, starts and ends are compared by Kullback-Leibler divergence and the tIoU map by the
    squared difference, as they are trained; only valid pairs and steps count.

    Args:
        iou_weight: Factor of the tIoU map's distance.
        node_weight: Factor of that of starts and ends.
        **kwargs: Arguments of :class:`OutputsMimicLoss`: ``temperature``, ``class_weight``.
    """

    outputs = ScoreMapOutputs

    def __init__(self, iou_weight: float = 1.0, node_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.iou_weight = iou_weight
        self.node_weight = node_weight

    def compare(self, student: ScoreMapOutputs, teacher: ScoreMapOutputs) -> Tensor:
        """Compare outputs of heads with the same classes and durations."""
        steps = student.masks
        pairs = valid_pairs(steps, student.reg_logits.shape[1])
        tau = self.temperature
        nodes = [
            score_distance(own, other, steps, 'kl', tau)
            for own, other in (
                (student.start_logits, teacher.start_logits),
                (student.end_logits, teacher.end_logits),
            )
        ]
        return (
            self.class_weight
            * score_distance(student.cls_logits, teacher.cls_logits, pairs[:, None], 'kl', tau)
            + self.iou_weight
            * score_distance(student.reg_logits, teacher.reg_logits, pairs, 'mse')
            + self.node_weight * sum(nodes)
        )
