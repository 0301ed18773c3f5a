"""Hooks."""

from .checkpoint_hook import SafeCheckpointHook
from .distill_schedule_hook import DistillScheduleHook

__all__ = ['DistillScheduleHook', 'SafeCheckpointHook']
