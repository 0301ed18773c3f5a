"""Shared part of the data scripts: files, video writing, parallel work, annotations."""

from tools.command_line import run_main

from . import labelled
from .annotations import (
    census_table,
    make_video_entry,
    read_database,
    refuse_other_annotations,
    write_annotations,
)
from .files import atomic_folder, atomic_path, read_json, write_json
from .manifest import Manifest
from .parallel import Failure, parallel_map, print_failures
from .video import write_video

__all__ = [
    'Failure',
    'Manifest',
    'atomic_folder',
    'atomic_path',
    'census_table',
    'labelled',
    'make_video_entry',
    'parallel_map',
    'print_failures',
    'read_database',
    'read_json',
    'refuse_other_annotations',
    'run_main',
    'write_annotations',
    'write_json',
    'write_video',
]
