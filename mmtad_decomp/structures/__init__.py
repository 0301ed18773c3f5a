"""Data structures that other parts share: annotations, samples, outputs, segments, time."""

from .annotations import (
    AnnotationError,
    AnnotationSet,
    Census,
    VideoAnnotation,
    label_of,
    load_annotations,
    refuse_duplicates,
)
from .head_outputs import (
    IMPOSSIBLE,
    AFSDOutputs,
    BoundaryFeatures,
    MaskOutputs,
    PointOutputs,
    QueryOutputs,
    ScoreMapOutputs,
)
from .output_signals import Distances, Scores, Signal
from .segments import (
    center_width_to_offsets,
    center_width_to_start_end,
    pairwise_tiou,
    start_end_to_center_width,
    valid_pairs,
)
from .tad_data_sample import TADDataSample
from .time_grid import TimeGrid
from .video_list import read_video_list

__all__ = [
    'IMPOSSIBLE',
    'AFSDOutputs',
    'AnnotationError',
    'AnnotationSet',
    'BoundaryFeatures',
    'Census',
    'Distances',
    'MaskOutputs',
    'PointOutputs',
    'QueryOutputs',
    'ScoreMapOutputs',
    'Scores',
    'Signal',
    'TADDataSample',
    'TimeGrid',
    'VideoAnnotation',
    'center_width_to_offsets',
    'center_width_to_start_end',
    'label_of',
    'load_annotations',
    'pairwise_tiou',
    'read_video_list',
    'refuse_duplicates',
    'start_end_to_center_width',
    'valid_pairs',
]
