"""Detections of a long or endless video, block by block, in bounded memory."""

from __future__ import annotations

import math

import numpy as np

from mmtad_decomp.structures import pairwise_tiou

from .detections import Detections, concatenate, take
from .raw_predictions import VideoCandidates
from .video_merger import VideoMerger, WindowResult

_REPEAT_TIOU = 0.5


class BlockMerger:
    """Merge the windows of one video as they come, in blocks of time.

    A video that is not longer than a block gives what
    :class:`~mmtad_decomp.postprocessing.VideoMerger` gives. Of a longer one, each block is merged
    together with the windows around its borders, and keeps the detections whose centre it holds;
    the bounds of the post-processor (``pre_nms_topk``, ``max_per_video``) then count for a block.
    A detection is left out if one of its class and of at least its score, already given with
    another block, overlaps it by a tIoU of 0.5 or more.

    Args:
        merger: Merges the windows of a block.
        video_id: The video.
        block: Least length of a block in seconds; 0 ends one with every window, infinity only
            with the video.

    Attributes:
        complete_above: All detections that score higher than this were given; lower ones may have
            been cut by ``max_per_video``. Infinitely low while no block has so many.
    """

    def __init__(self, merger: VideoMerger, video_id: str, block: float = math.inf) -> None:
        self.merger = merger
        self.video_id = video_id
        self.block = block
        self._windows: list[WindowResult] = []
        self._begin = 0.0
        self._given = concatenate([])
        self.complete_above = -math.inf

    def add(self, window: WindowResult, next_start: float) -> Detections:
        """Take the next window.

        Args:
            window: Its candidates and its span.
            next_start: Seconds at which the window after it begins. What is centred before is
                final: no later window sees it, but for a last one that begins earlier to end with
                the video, of which only the rest is taken.

        Returns:
            Detections that are final now, by falling score.
        """
        self._windows.append(window)
        if next_start - self._begin < self.block:
            return concatenate([])
        start, stop = window.span
        found = self._close(next_start, stop)
        around = next_start - (stop - start)
        self._windows = [w for w in self._windows if w.span[1] > around]
        return found

    def finish(self, duration: float) -> Detections:
        """Detections that are left when the video has ended.

        Args:
            duration: Its length in seconds.
        """
        return self._close(math.inf, duration)

    def _close(self, end: float, known: float) -> Detections:
        spans = np.array([window.span for window in self._windows]).reshape(-1, 2)
        candidates = [window.detections for window in self._windows]
        video = VideoCandidates(self.video_id, known, candidates, spans)
        found = self.merger.merge(video, self._note_full)
        centres = found.segments.mean(axis=1)
        found = take(found, (centres >= self._begin) & (centres < end))
        found = take(found, ~self._is_repeat(found))
        # Detections that end before this block cannot overlap those of a later one by much.
        recent = take(self._given, self._given.segments[:, 1] > self._begin)
        self._given, self._begin = concatenate([recent, found]), end
        return found

    def _note_full(self, lowest: float) -> None:
        self.complete_above = max(self.complete_above, lowest)

    def _is_repeat(self, found: Detections) -> np.ndarray:
        """Whether each detection was given before, ``(M,)``."""
        given = self._given
        overlap = pairwise_tiou(found.segments, given.segments) >= _REPEAT_TIOU  # (M, G)
        same = found.labels[:, None] == given.labels
        better = found.scores[:, None] <= given.scores
        return (overlap & same & better).any(axis=1)
