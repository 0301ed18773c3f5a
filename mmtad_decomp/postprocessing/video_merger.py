"""From the windows of a test to the detections of whole videos."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmaction.registry import TASK_UTILS

from mmtad_decomp.structures import TimeGrid

from .detections import Detections, concatenate
from .raw_predictions import VideoCandidates

_UNKNOWN_SPAN = (float('nan'), float('nan'))


@dataclass(frozen=True)
class WindowResult:
    """Candidates of one window, as they travel between processes.

    Attributes:
        video_id: The video.
        window: Start and stop, which tell the windows of a video apart.
        detections: Its candidates, in seconds of the whole video.
        span: Start and end in seconds; NaN where the data sample has no time grid.
    """

    video_id: str
    window: tuple
    detections: Detections
    span: tuple[float, float] = _UNKNOWN_SPAN

    @classmethod
    def from_sample(cls, sample: dict, agnostic: bool = False) -> WindowResult:
        """Read a tested window.

        Args:
            sample: ``TADDataSample.to_dict()`` with ``pred_instances``: ``segments`` (M, 2) in
                seconds, ``scores`` (M,) and ``labels`` (M,).
            agnostic: Give every candidate label 0; the instances then need no labels.

        Raises:
            KeyError: If the sample has no ``pred_instances``.
        """
        if 'pred_instances' not in sample:
            raise KeyError(
                f'window of video "{sample.get("video_id")}" has no pred_instances; the '
                'detector must set them in mode="predict"'
            )
        instances = sample['pred_instances']
        scores = _to_numpy(instances['scores'], np.float64)
        labels = (
            np.zeros(len(scores), dtype=np.int64)
            if agnostic
            else _to_numpy(instances['labels'], np.int64)
        )
        segments = _to_numpy(instances['segments'], np.float64).reshape(-1, 2)
        window = tuple(np.asarray(sample['window']).tolist())
        return cls(sample['video_id'], window, Detections(segments, scores, labels), _span(sample))


class VideoMerger:
    """Merge the windows of each video, every window counting once.

    Args:
        classes: Class names in label order.
        post_processor: Config of a TASK_UTILS module such as
            :class:`~mmtad_decomp.postprocessing.PostProcessor`; None keeps all candidates as they
            are.
        video_ids: The videos to come. The post-processor's ``prepare(classes, video_ids)`` is
            called at once, so that it can refuse before anything is tested.
    """

    def __init__(
        self, classes: Sequence[str], post_processor: dict | None, video_ids: Iterable[str] = ()
    ) -> None:
        self.classes = tuple(classes)
        self.post_processor = None
        if post_processor is not None:
            self.post_processor = TASK_UTILS.build(post_processor)
            self.post_processor.prepare(self.classes, list(video_ids))

    def gather(
        self, windows: Iterable[WindowResult], durations: Mapping[str, float]
    ) -> Iterator[VideoCandidates]:
        """Sort windows by video and start; repeated ones are dropped.

        Args:
            windows: Windows in any order.
            durations: Length in seconds of each known video.

        Yields:
            The candidates of each known video that has a window, in the order of ``durations``.
        """
        by_video: dict[str, dict[tuple, WindowResult]] = {}
        for result in windows:
            by_video.setdefault(result.video_id, {}).setdefault(result.window, result)
        for video_id, duration in durations.items():
            if video_id in by_video:
                results = [result for _, result in sorted(by_video[video_id].items())]
                yield VideoCandidates(
                    video_id,
                    duration,
                    [result.detections for result in results],
                    np.array([result.span for result in results]),
                )

    def merge(
        self, video: VideoCandidates, on_full: Callable[[float], None] | None = None
    ) -> Detections:
        """Detections of one video.

        Args:
            video: Its windows.
            on_full: See :class:`~mmtad_decomp.postprocessing.PostProcessor`; not called where the
                ``merge`` of another post-processor does not take it.

        Raises:
            ValueError: If a candidate is not finite.
        """
        if self.post_processor is not None:
            merge = self.post_processor.merge
            heard = 'on_full' in inspect.signature(merge).parameters
            options = dict(on_full=on_full) if heard else {}
            return merge(video.windows, video.duration, video.video_id, video.spans, **options)
        return _checked(concatenate(video.windows), video.video_id)

    def __call__(
        self, windows: Iterable[WindowResult], durations: Mapping[str, float]
    ) -> dict[str, Detections]:
        """Detections of each known video that has a window; see :meth:`gather`."""
        return {video.video_id: self.merge(video) for video in self.gather(windows, durations)}


def _to_numpy(value: Any, dtype: type) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value).astype(dtype, copy=False)


def _span(sample: dict) -> tuple[float, float]:
    grid: TimeGrid | None = sample.get('time_grid')
    if grid is None:
        return _UNKNOWN_SPAN
    start, stop = (float(step) for step in sample['window'])
    return grid.edges(0.0, stop - start)


def _checked(found: Detections, video_id: str) -> Detections:
    """Detections, reversed ones without length, so that they count as false positives.

    Raises:
        ValueError: If one is not finite.
    """
    wrong = ~(np.isfinite(found.segments).all(axis=1) & np.isfinite(found.scores))
    if wrong.any():
        raise ValueError(
            f'video "{video_id}": {wrong.sum()} of {len(wrong)} candidates have NaN or infinity; '
            'the model diverged or its input is broken'
        )
    start, end = found.segments.T
    return found._replace(segments=np.stack([start, np.maximum(start, end)], axis=1))
