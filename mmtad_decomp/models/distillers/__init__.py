"""Cross-modal distillation by config: recorders, a frozen teacher, and the losses between."""

from .cross_fitting import choose_teacher
from .cross_modal_distiller import CrossModalDistiller
from .frozen_teacher import FrozenTeacher
from .output_recorder import OutputRecorder

__all__ = ['CrossModalDistiller', 'FrozenTeacher', 'OutputRecorder', 'choose_teacher']
