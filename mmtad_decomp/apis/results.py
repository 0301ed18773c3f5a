"""What was found in a video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.postprocessing.detections import by_score, take
from mmtad_decomp.structures import TADDataSample

from .video_inputs import VideoInput


@dataclass(frozen=True)
class VideoResult:
    """Detections of one video.

    Attributes:
        video: The video.
        duration: Its length in seconds.
        fps: Rate in frames per second at which it was sampled.
        detections: By falling score.
        classes: Class names in label order.
        complete_above: Of the detections that score higher than this, none was cut by the
            post-processor's ``max_per_video``; see
            :class:`~mmtad_decomp.postprocessing.block_merger.BlockMerger`.
    """

    video: VideoInput
    duration: float
    fps: float
    detections: Detections
    classes: Sequence[str]
    complete_above: float = -math.inf

    def best(self, score_thr: float = 0.0, top_k: int | None = None) -> VideoResult:
        """The ``top_k`` best detections of those that score ``score_thr`` or more."""
        found = by_score(take(self.detections, self.detections.scores >= score_thr))
        found = take(found, slice(top_k))
        return replace(self, detections=found)

    def rows(self) -> list[dict]:
        """Plain dicts: ``segment`` ``[start, end]`` in seconds, ``label``, ``score``."""
        return [
            dict(segment=segment, label=self.classes[label], score=score)
            for segment, score, label in zip(*(column.tolist() for column in self.detections))
        ]

    def to_dict(self) -> dict:
        """Plain types only: ``video``, ``video_id``, ``duration`` and ``detections``."""
        return dict(
            video=self.video.path,
            video_id=self.video.video_id,
            duration=self.duration,
            detections=self.rows(),
        )

    def to_datasample(self) -> TADDataSample:
        """As what a detector predicts."""
        sample = TADDataSample(metainfo=dict(video_id=self.video.video_id, duration=self.duration))
        segments, scores, labels = (
            torch.from_numpy(np.ascontiguousarray(c)) for c in self.detections
        )
        sample.pred_instances = InstanceData(segments=segments, scores=scores, labels=labels)
        return sample
