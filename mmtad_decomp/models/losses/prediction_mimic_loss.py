"""Making the student's predictions those of the teacher, whatever the kind of head."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any, ClassVar

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


class OutputsMimicLoss(BaseModule, metaclass=ABCMeta):
    """Distance of the raw outputs of two heads of one kind.

    A subclass names the type of outputs that it compares, and :class:`PredictionMimicLoss` then
    takes it for them.

    Args:
        temperature: tau > 0, which divides the logits of both sides before their divergence.
        class_weight: Factor of the classes' distance.

    Raises:
        ValueError: If the temperature is not positive.
    """

    outputs: ClassVar[type]
    by_outputs: ClassVar[dict[str, type[OutputsMimicLoss]]] = {}

    def __init__(
        self, temperature: float = 1.0, class_weight: float = 1.0, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not temperature > 0:
            raise ValueError(
                f'{type(self).__name__}: temperature must be positive, got {temperature}'
            )
        self.temperature = temperature
        self.class_weight = class_weight

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        cls.by_outputs[cls.outputs.__name__] = cls

    def forward(self, student: Any, teacher: Any, masks: Tensor | None = None) -> Tensor:
        """Compare outputs of heads.

        Args:
            student: Outputs of the student's head.
            teacher: Outputs of the teacher's head; no gradient flows into them.
            masks: Not read: outputs hold the masks of their own steps. A distiller gives them to
                every mimic.

        Returns:
            A scalar.

        Raises:
            TypeError: If one side gives other outputs than this loss compares.
            ValueError: If the shapes do not agree.
        """
        for side, found in (('student', student), ('teacher', teacher)):
            if not isinstance(found, self.outputs):
                raise TypeError(
                    f'prediction mimic: the {side} gives {type(found).__name__}, '
                    f'{type(self).__name__} compares {self.outputs.__name__}; {_advice(found)}'
                )
        return self.compare(student, teacher)

    @abstractmethod
    def compare(self, student: Any, teacher: Any) -> Tensor:
        """The distance of outputs that are of the right type."""


def _advice(outputs: Any) -> str:
    """The fix for outputs that a loss cannot compare."""
    loss = OutputsMimicLoss.by_outputs.get(type(outputs).__name__)
    if loss is None:
        return 'let `source` and `item` of its recorder name the outputs of a head'
    return f'give both sides the same kind of head, and take {loss.__name__} for this one'


@MODELS.register_module()
class PredictionMimicLoss(BaseModule):
    """The mimic loss of any head: it picks by the type of the outputs.

    ``PointOutputs`` are compared by :class:`PointPredictionMimicLoss`, ``QueryOutputs`` by
    :class:`QueryPredictionMimicLoss`, ``ScoreMapOutputs`` by :class:`GTADPredictionMimicLoss`,
    ``AFSDOutputs`` by :class:`AFSDPredictionMimicLoss`, ``MaskOutputs`` by
    :class:`MaskPredictionMimicLoss`, and other types by the subclass of
    :class:`OutputsMimicLoss` that names them.

    Args:
        options: Arguments of these losses by type of outputs:
            ``dict(PointOutputs=dict(boundary='l1'))``.

    Raises:
        ValueError: If ``options`` names a type that no loss compares.
    """

    def __init__(
        self, options: dict[str, dict] | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        options, known = dict(options or {}), OutputsMimicLoss.by_outputs
        unknown = sorted(options.keys() - known.keys())
        if unknown:
            raise ValueError(
                f'PredictionMimicLoss: `options` names {unknown}; it takes {sorted(known)}'
            )
        self.losses = nn.ModuleDict(
            {name: loss(**options.get(name, {})) for name, loss in known.items()}
        )

    def forward(self, student: Any, teacher: Any, masks: Tensor | None = None) -> Tensor:
        """See :meth:`OutputsMimicLoss.forward`."""
        kind = type(student).__name__
        if kind not in self.losses:
            raise TypeError(
                f'prediction mimic: the student gives {kind}, PredictionMimicLoss compares '
                f'{sorted(self.losses)}; {_advice(student)}'
            )
        return self.losses[kind](student, teacher, masks)
