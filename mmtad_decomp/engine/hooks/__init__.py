"""Hooks."""

from .checkpoint_hook import SafeCheckpointHook
from .distill_schedule_hook import DistillScheduleHook
from .teacher_classes_hook import TeacherClassesHook

__all__ = ['DistillScheduleHook', 'SafeCheckpointHook', 'TeacherClassesHook']
