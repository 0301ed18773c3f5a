"""Hooks."""

from .distill_schedule_hook import DistillScheduleHook
from .epoch_seed_hook import EpochSeedHook
from .model_fit_hook import ModelFitHook
from .output_health_hook import OutputHealthHook, UnhealthyOutputError
from .run_summary_hook import RunSummaryHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .strict_loading_hook import StrictLoadingHook
from .tad_visualization_hook import TADVisualizationHook
from .teacher_classes_hook import TeacherClassesHook

__all__ = [
    'DistillScheduleHook',
    'EpochSeedHook',
    'ModelFitHook',
    'OutputHealthHook',
    'RunSummaryHook',
    'SafeCheckpointHook',
    'StrictLoadingHook',
    'TADVisualizationHook',
    'TeacherClassesHook',
    'UnhealthyOutputError',
]
