"""Data structures that other parts share: annotations, samples, outputs, segments, time."""

from .annotation_set import AnnotationSet, Census, VideoAnnotation
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

__all__ = [
    'IMPOSSIBLE',
    'AFSDOutputs',
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
    'pairwise_tiou',
    'start_end_to_center_width',
    'valid_pairs',
]
