"""Annotations and detections by video as tables for :mod:`mmtad_decomp.evaluation.functional`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import AnnotationSet

from .functional import GroundTruth, Predictions


def ground_truth_table(annotations: AnnotationSet) -> GroundTruth:
    """All instances; videos are numbered in the order of the annotations."""
    videos = list(annotations.videos.values())
    return GroundTruth(
        np.repeat(np.arange(len(videos)), [len(video.labels) for video in videos]),
        np.concatenate([video.segments for video in videos]),
        np.concatenate([video.labels for video in videos]),
    )


def prediction_table(
    annotations: AnnotationSet, detections: Mapping[str, Detections]
) -> Predictions:
    """All detections of annotated videos; videos are numbered in the order of the annotations."""
    number = {video_id: i for i, video_id in enumerate(annotations.videos)}
    known = {video_id: found for video_id, found in detections.items() if video_id in number}
    none = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    columns = [np.concatenate(column) for column in zip(none, *known.values())]
    ids = np.array([number[video_id] for video_id in known], dtype=np.int64)
    return Predictions(np.repeat(ids, [len(found.scores) for found in known.values()]), *columns)
