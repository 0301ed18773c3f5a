"""Post-processing: from the raw candidates of a video to its detections."""

from .classifier_scores import ClassifierScoresError
from .detections import Detections
from .ensemble import ensemble_files, weighted_segment_ensemble
from .external_classifier import ExternalClassifier
from .post_processor import PostProcessor
from .proposal_file import ProposalFile
from .raw_predictions import (
    RawPredictionError,
    RawPredictions,
    VideoCandidates,
    write_raw_predictions,
)
from .video_merger import VideoMerger, WindowResult
from .window_joining import join_cut_segments, suppress_in_overlaps

__all__ = [
    'ClassifierScoresError',
    'Detections',
    'ExternalClassifier',
    'PostProcessor',
    'ProposalFile',
    'RawPredictionError',
    'RawPredictions',
    'VideoCandidates',
    'VideoMerger',
    'WindowResult',
    'ensemble_files',
    'join_cut_segments',
    'suppress_in_overlaps',
    'weighted_segment_ensemble',
    'write_raw_predictions',
]
