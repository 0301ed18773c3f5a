"""Pictures of a few videos at every validation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from mmtad_decomp.evaluation.metrics.video_metric import VideoMetric
from mmtad_decomp.postprocessing import Detections, WindowResult
from mmtad_decomp.structures import TADDataSample, VideoAnnotation


@HOOKS.register_module()
class TADVisualizationHook(Hook):
    """Send time lines of a few validation videos to the visualiser's backends.

    The same videos are drawn every time, with ground truth and post-processed detections. It
    needs a visualiser of type ``TADVisualizer`` and a metric such as ``TADMetric``.

    Args:
        num_videos: Videos to draw, evenly spaced among those with ground truth.
        interval: Draw at every ``interval``-th validation.
        score_thr: Detections that score lower are not drawn.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(self, num_videos: int = 4, interval: int = 1, score_thr: float = 0.1) -> None:
        if num_videos < 1 or interval < 1:
            raise ValueError(
                f'num_videos and interval must be at least 1, got {num_videos} and {interval}'
            )
        self.num_videos = num_videos
        self.interval = interval
        self.score_thr = score_thr
        self._count = 0
        self._metric: VideoMetric | None = None
        self._windows: dict[str, list[WindowResult]] = {}

    def before_val_epoch(self, runner: Runner) -> None:
        """Choose the videos."""
        metrics = runner.val_loop.evaluator.metrics
        found = (metric for metric in metrics if isinstance(metric, VideoMetric))
        self._metric, self._windows = next(found, None), {}
        self._count += 1
        if self._metric is None or self._count % self.interval:
            return
        videos = [v.video_id for v in self._metric.annotations.videos.values() if len(v.labels)]
        count = min(self.num_videos, len(videos))
        places = ((np.arange(count) + 0.5) * len(videos) / max(count, 1)).astype(int)
        self._windows = {videos[place]: [] for place in places}

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: Sequence[TADDataSample] | None = None,
    ) -> None:
        """Keep the candidates of the chosen videos."""
        for sample in outputs or ():
            if self._metric is not None and sample.get('video_id') in self._windows:
                window = self._metric.read_window(sample.to_dict())
                self._windows[window.video_id].append(window)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Merge the windows of all processes and draw."""
        if self._metric is None or not self._windows:
            return
        gathered = all_gather_object(list(chain.from_iterable(self._windows.values())))
        windows = list(chain.from_iterable(gathered))
        videos = self._metric.annotations.videos
        durations = {name: videos[name].duration for name in self._windows}
        for name, detections in self._metric.merger(windows, durations).items():
            runner.visualizer.add_datasample(
                f'val_{name.replace("/", "_")}',
                _sample(videos[name], detections),
                score_thr=self.score_thr,
                step=runner.iter,
            )
        self._windows = {}


def _sample(video: VideoAnnotation, detections: Detections) -> TADDataSample:
    """A video's detections and ground truth, as visualizers want them."""
    sample = TADDataSample(metainfo=dict(video_id=video.video_id, duration=video.duration))
    segments, scores, labels = (torch.from_numpy(column) for column in detections)
    sample.pred_instances = InstanceData(segments=segments, scores=scores, labels=labels)
    sample.gt_instances = InstanceData(
        segments=torch.from_numpy(video.segments), labels=torch.from_numpy(video.labels)
    )
    return sample
