"""Cross-modal distillation by config: recorders, a frozen teacher, and the losses between."""

from .cross_modal_distiller import CrossModalDistiller
from .recorder import OutputRecorder
from .teacher import FrozenTeacher

__all__ = ['CrossModalDistiller', 'FrozenTeacher', 'OutputRecorder']
