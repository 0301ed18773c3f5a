"""Data sets of untrimmed videos and their pipelines."""

from . import transforms
from .frame_cache import FrameCache
from .tad_dataset import TADDataset
from .video_reader import VideoReadError, read_frames
from .windows import (
    num_sampled_frames,
    source_frame_indices,
    visible_instances,
    window_starts,
)

__all__ = [
    'FrameCache',
    'TADDataset',
    'VideoReadError',
    'num_sampled_frames',
    'read_frames',
    'source_frame_indices',
    'transforms',
    'visible_instances',
    'window_starts',
]
