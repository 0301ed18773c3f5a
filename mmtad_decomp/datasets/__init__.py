"""Data sets of untrimmed videos and their pipelines."""

from . import transforms
from .frame_cache import FrameCache
from .tad_dataset import TADDataset
from .video_reader import (
    VIDEO_ENDINGS,
    SampledFrames,
    VideoInfo,
    iterate_frames,
    probe_video,
    read_frames,
)
from .video_stream import VideoReadError
from .windows import (
    num_sampled_frames,
    source_frame_indices,
    visible_instances,
    window_starts,
)

__all__ = [
    'VIDEO_ENDINGS',
    'FrameCache',
    'SampledFrames',
    'TADDataset',
    'VideoInfo',
    'VideoReadError',
    'iterate_frames',
    'num_sampled_frames',
    'probe_video',
    'read_frames',
    'source_frame_indices',
    'transforms',
    'visible_instances',
    'window_starts',
]
