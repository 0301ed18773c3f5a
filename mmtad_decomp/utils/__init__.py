"""Helpers that know nothing of detection."""

from .archives import ARCHIVE_ERRORS, refuse_bombs, refuse_larger
from .atomic import (
    OutputPathError,
    atomic_write,
    demand_sources_kept,
    demand_writable,
    remove_temporary_files,
    write_json,
)
from .checkpoint import (
    CheckpointError,
    CorruptCheckpointError,
    UnsafeCheckpointError,
    allow_legacy_checkpoints,
    load_checkpoint,
)
from .config_check import (
    ConfigError,
    check_class_count,
    check_config,
    check_device,
    class_name,
    explain_build_error,
    of_class,
)
from .config_text import config_as_data, embedded_config
from .hardware import (
    Precision,
    choose_precision,
    fast_dtype,
    half_dtype,
    processor_name,
    usable_cores,
)
from .json_keys import refuse_duplicates
from .memory import keep_freed_memory
from .paths import UnsafeNameError, as_unicode, path_below
from .randomness import seed_of, seeded
from .text_table import format_table
from .unwrap import unwrap_model
from .work_dir import (
    WorkDirInUseError,
    WorkDirLock,
    file_lock,
    folder_lock,
    latest_checkpoint,
    resolve_checkpoint,
)

__all__ = [
    'ARCHIVE_ERRORS',
    'CheckpointError',
    'ConfigError',
    'CorruptCheckpointError',
    'OutputPathError',
    'Precision',
    'UnsafeCheckpointError',
    'UnsafeNameError',
    'WorkDirInUseError',
    'WorkDirLock',
    'allow_legacy_checkpoints',
    'as_unicode',
    'atomic_write',
    'check_class_count',
    'check_config',
    'check_device',
    'choose_precision',
    'class_name',
    'config_as_data',
    'demand_sources_kept',
    'demand_writable',
    'embedded_config',
    'explain_build_error',
    'fast_dtype',
    'file_lock',
    'folder_lock',
    'format_table',
    'half_dtype',
    'keep_freed_memory',
    'latest_checkpoint',
    'load_checkpoint',
    'of_class',
    'path_below',
    'processor_name',
    'refuse_bombs',
    'refuse_duplicates',
    'refuse_larger',
    'remove_temporary_files',
    'resolve_checkpoint',
    'seed_of',
    'seeded',
    'unwrap_model',
    'usable_cores',
    'write_json',
]
