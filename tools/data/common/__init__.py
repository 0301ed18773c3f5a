"""What every data script shares: files, video reading and writing, parallel work, annotations."""

from . import labelled
from .annotations import census_table, make_video_entry, read_database, write_annotations
from .cli import run_main
from .files import atomic_folder, atomic_path, read_json, write_json
from .manifest import Manifest
from .parallel import Failure, parallel_map, print_failures
from .video import (
    VideoError,
    VideoInfo,
    probe_video,
    read_frames,
    resize_short_side,
    write_video,
)

__all__ = [
    'Failure',
    'Manifest',
    'VideoError',
    'VideoInfo',
    'atomic_folder',
    'atomic_path',
    'census_table',
    'labelled',
    'make_video_entry',
    'parallel_map',
    'print_failures',
    'probe_video',
    'read_database',
    'read_frames',
    'read_json',
    'resize_short_side',
    'run_main',
    'write_annotations',
    'write_json',
    'write_video',
]
