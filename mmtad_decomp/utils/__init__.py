"""Helpers that know nothing of detection."""

from .atomic import atomic_write, remove_temporary_files, write_json
from .checkpoint import (
    CheckpointError,
    CorruptCheckpointError,
    UnsafeCheckpointError,
    allow_legacy_checkpoints,
    load_checkpoint,
)
from .config_check import ConfigError, check_config, explain_build_error
from .unwrap import unwrap_model
from .work_dir import resolve_checkpoint

__all__ = [
    'CheckpointError',
    'ConfigError',
    'CorruptCheckpointError',
    'UnsafeCheckpointError',
    'allow_legacy_checkpoints',
    'atomic_write',
    'check_config',
    'explain_build_error',
    'load_checkpoint',
    'remove_temporary_files',
    'resolve_checkpoint',
    'unwrap_model',
    'write_json',
]
