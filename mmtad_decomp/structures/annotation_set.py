"""Cleaned annotations of videos."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class VideoAnnotation:
    """One video: its clock and its cleaned ground truth.

    Attributes:
        video_id: Key in the annotation file's ``database``.
        subset: As in the file.
        duration: Seconds.
        fps: Frames per second of the stored video or frames; None where the file has none.
        num_frames: Frames of the stored video; None where the file has none.
        path: File or frame folder of the video relative to the data root; None where the
            annotation has none.
        segments: ``(K, 2)`` float64, seconds, sorted by start.
        labels: ``(K,)`` int64 indices into :attr:`AnnotationSet.classes`.
    """

    video_id: str
    subset: str
    duration: float
    fps: float | None
    num_frames: int | None
    path: str | None
    segments: np.ndarray
    labels: np.ndarray


@dataclass
class Census:
    """Counts of what was read, kept and dropped; printed beside every number."""

    videos: int = 0
    instances: int = 0
    videos_without_instances: int = 0
    excluded_videos: int = 0
    misspelt_subsets: Counter = field(default_factory=Counter)
    ignored_labels: Counter = field(default_factory=Counter)
    dropped: Counter = field(default_factory=Counter)
    clipped: int = 0

    def __str__(self) -> str:
        parts = [f'{self.videos} videos', f'{self.instances} instances']
        if self.videos_without_instances:
            parts.append(f'{self.videos_without_instances} videos without instances')
        if self.excluded_videos:
            parts.append(f'{self.excluded_videos} videos excluded')
        parts += [
            f'{n} videos of subset {name!r} left out (misspelt?)'
            for name, n in sorted(self.misspelt_subsets.items())
        ]
        parts += [f'{n} "{name}" ignored' for name, n in sorted(self.ignored_labels.items())]
        parts += [f'{n} {why} dropped' for why, n in sorted(self.dropped.items())]
        if self.clipped:
            parts.append(f'{self.clipped} segments clipped to their video')
        return ', '.join(parts)


@dataclass(frozen=True)
class AnnotationSet:
    """The cleaned annotations of one subset.

    Attributes:
        ann_file: The file read, for messages.
        classes: Class names; a label is an index into them.
        videos: Videos by id, in the order of the file.
        census: Counts of what was kept and dropped.
    """

    ann_file: str
    classes: tuple[str, ...]
    videos: dict[str, VideoAnnotation]
    census: Census
