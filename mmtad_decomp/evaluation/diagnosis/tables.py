"""From annotations and detections by video to flat tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import AnnotationSet


class Tables(NamedTuple):
    """What :func:`~.diagnose.diagnose` takes.

    Attributes:
        ground_truth: Instances of all videos.
        predictions: Detections of the annotated videos.
        durations: ``(G,)`` seconds.
        unknown: Ids of videos with detections that are not annotated; their detections are left
            out.
        silent: Ids of annotated videos without detections.
    """

    ground_truth: GroundTruth
    predictions: Predictions
    durations: np.ndarray
    unknown: list[str]
    silent: list[str]


def build_tables(annotations: AnnotationSet, videos: Mapping[str, Detections]) -> Tables:
    """Number the videos in the order of the annotations and put all rows together.

    Args:
        annotations: The ground truth.
        videos: Detections by video id, labels as in ``annotations.classes``.
    """
    annotated = list(annotations.videos.values())
    number = {video.video_id: i for i, video in enumerate(annotated)}
    counts = [len(video.labels) for video in annotated]
    ground_truth = GroundTruth(
        np.repeat(np.arange(len(annotated)), counts),
        np.concatenate([video.segments for video in annotated]),
        np.concatenate([video.labels for video in annotated]),
    )
    known = {video_id: found for video_id, found in videos.items() if video_id in number}
    empty = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    columns = [np.concatenate(column) for column in zip(empty, *known.values())]
    of_row = np.repeat(
        np.array([number[video_id] for video_id in known], dtype=np.int64),
        [len(found.scores) for found in known.values()],
    )
    durations = np.repeat([video.duration for video in annotated], counts)
    return Tables(
        ground_truth,
        Predictions(of_row, *columns),
        durations,
        unknown=[video_id for video_id in videos if video_id not in number],
        silent=[v for v in number if v not in known or not len(known[v].scores)],
    )
