"""Oddities of detections: videos and times that do not fit the annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import AnnotationSet


class Oddities(NamedTuple):
    """Facts to know before believing a number.

    Attributes:
        unknown: Ids of videos with detections that are not annotated; they are left out.
        missing: Ids of annotated videos that the detections do not name.
        silent: Ids of annotated videos whose list of detections is empty.
        excluded_in_vain: Number of videos to exclude, if none of them is annotated.
        outside: Detections that start before their video or end after it; they count as they are.
        empty: Detections without length; they count as false positives.
        no_truth: Whether no annotated video has an instance.
    """

    unknown: list[str]
    missing: list[str]
    silent: list[str]
    excluded_in_vain: int
    outside: int
    empty: int
    no_truth: bool

    def warnings(self) -> list[str]:
        """A sentence for each thing that occurs."""
        sentences = [
            (self.unknown, 'videos with detections are not annotated and left out'),
            (self.missing, 'annotated videos are not among the detections'),
            (self.silent, 'videos have no detection'),
        ]
        lines = []
        if self.no_truth:
            lines.append('there is no ground truth, so that mAP and recall have no value (NaN)')
        for videos, what in sentences:
            if videos:
                shown = ', '.join(videos[:5]) + (', ...' if len(videos) > 5 else '')
                lines.append(f'{len(videos)} {what}: {shown}')
        if self.excluded_in_vain:
            lines.append(f'none of the {self.excluded_in_vain} videos to exclude is annotated')
        if self.outside:
            lines.append(f'{self.outside} detections reach out of their video; they count whole')
        if self.empty:
            lines.append(f'{self.empty} detections have no length: false positives')
        return lines


def find_oddities(
    annotations: AnnotationSet,
    detections: Mapping[str, Detections],
    excluded: Sequence[str] = (),
    tolerance: float = 1e-3,
) -> Oddities:
    """Compare the videos and times of both sides.

    Args:
        annotations: The ground truth, without the excluded videos.
        detections: Detections by video id.
        excluded: Ids of the videos that were to be left out of the ground truth.
        tolerance: Seconds by which a detection may overshoot its video unnoticed.
    """
    videos, left_out = annotations.videos, set(excluded)
    outside = empty = 0
    for video_id, found in detections.items():
        if video_id in videos and len(found.scores):
            start, end = found.segments.T
            limit = videos[video_id].duration + tolerance
            outside += int(((start < -tolerance) | (end > limit)).sum())
            empty += int((end <= start).sum())
    return Oddities(
        unknown=[v for v in detections if v not in videos and v not in left_out],
        missing=[v for v in videos if v not in detections],
        silent=[v for v in videos if v in detections and not len(detections[v].scores)],
        excluded_in_vain=0 if annotations.census.excluded_videos else len(left_out),
        outside=outside,
        empty=empty,
        no_truth=not any(len(video.labels) for video in videos.values()),
    )
