"""Data structures that every other part shares: annotations, data samples, segments, time."""

from .annotations import (
    AnnotationError,
    AnnotationSet,
    Census,
    VideoAnnotation,
    label_of,
    load_annotations,
    refuse_duplicates,
)
from .segments import pairwise_tiou
from .tad_data_sample import TADDataSample
from .time_grid import TimeGrid

__all__ = [
    'AnnotationError',
    'AnnotationSet',
    'Census',
    'TADDataSample',
    'TimeGrid',
    'VideoAnnotation',
    'label_of',
    'load_annotations',
    'pairwise_tiou',
    'refuse_duplicates',
]
