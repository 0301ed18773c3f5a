"""What the metrics of temporal action detection share: windows in, detections of videos out."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from mmaction.registry import TASK_UTILS
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmtad_decomp.evaluation.comparison import (
    find_oddities,
    ground_truth_table,
    prediction_table,
)
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.evaluation.submission import write_submission
from mmtad_decomp.postprocessing import Detections, VideoCandidates, write_raw_predictions
from mmtad_decomp.structures import AnnotationSet, TimeGrid, load_annotations, read_video_list

_UNKNOWN_SPAN = (float('nan'), float('nan'))
_NOTHING = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class WindowResult:
    """Candidates of one window, as they travel between processes.

    Attributes:
        video_id: The video.
        window: Start and stop, which tell the windows of a video apart.
        detections: Its candidates.
        span: Start and end in seconds; NaN where the data sample has no time grid.
    """

    video_id: str
    window: tuple
    detections: Detections
    span: tuple[float, float] = _UNKNOWN_SPAN


def _to_numpy(value: object, dtype: type) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value).astype(dtype, copy=False)


def _span(sample: dict) -> tuple[float, float]:
    grid: TimeGrid | None = sample.get('time_grid')
    if grid is None:
        return _UNKNOWN_SPAN
    start, stop = (float(step) for step in sample['window'])
    return grid.start / grid.fps, (grid.start + (stop - start) * grid.stride) / grid.fps


class VideoMetric(BaseMetric):
    """Gathers the candidates of all windows and merges them per video.

    Every window counts once, whatever the number of processes and of padded samples. Subclasses
    compute from flat tables.

    Args:
        ann_file: ActivityNet-style JSON with the ground truth.
        subset: See :func:`mmtad_decomp.structures.load_annotations`.
        classes: As above.
        ignore_labels: As above.
        exclude_videos: Ids of videos, or a file that names them, see
            :func:`mmtad_decomp.structures.read_video_list`; they are left out of the ground truth
            and of the detections.
        label_fields: As of ``load_annotations``: ``('verb',)`` evaluates the verbs of an
            EPIC-KITCHENS file.
        post_processor: Config of a TASK_UTILS module such as
            :class:`~mmtad_decomp.postprocessing.PostProcessor`; None evaluates the candidates as
            they are. Its ``prepare(classes, video_ids)`` is called at once, so that it can refuse
            before anything is tested.
        dump_path: Where to write the detections as an ActivityNet submission; None writes none.
        raw_path: Where to write the candidates before post-processing (``.npz``, see
            :func:`~mmtad_decomp.postprocessing.write_raw_predictions`); None writes none.
        collect_device: ``'cpu'`` or ``'gpu'``, see MMEngine's ``BaseMetric``.
        collect_dir: See MMEngine's ``BaseMetric``.
        prefix: Prefix of the returned names.
    """

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        ignore_labels: Sequence[str] = (),
        exclude_videos: Sequence[str] | str = (),
        label_fields: Sequence[str] = ('label',),
        post_processor: dict | None = dict(type='PostProcessor'),  # noqa: B006
        dump_path: str | None = None,
        raw_path: str | None = None,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir, prefix=prefix)
        self.excluded = read_video_list(exclude_videos)
        self.annotations: AnnotationSet = load_annotations(
            ann_file, subset, classes, ignore_labels, self.excluded, label_fields
        )
        self.post_processor = None
        if post_processor is not None:
            self.post_processor = TASK_UTILS.build(post_processor)
            self.post_processor.prepare(self.result_classes, list(self.annotations.videos))
        if raw_path is not None and not raw_path.endswith('.npz'):
            raise ValueError(f'raw_path must name a .npz file, got {raw_path!r}')
        self.raw_path = raw_path
        self.dump_path = dump_path

    @property
    def result_classes(self) -> tuple[str, ...]:
        """Names of the classes that the labels of the candidates stand for."""
        return self.annotations.classes

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the candidates of a batch of windows.

        Args:
            data_batch: Not used.
            data_samples: ``TADDataSample.to_dict()`` of each window, with ``pred_instances``.
        """
        for sample in data_samples:
            if 'pred_instances' not in sample:
                raise KeyError(
                    f'window of video "{sample.get("video_id")}" has no pred_instances; the '
                    'detector must set them in mode="predict"'
                )
            instances = sample['pred_instances']
            detections = Detections(
                _to_numpy(instances['segments'], np.float64).reshape(-1, 2),
                _to_numpy(instances['scores'], np.float64),
                self._labels_of(instances),
            )
            window = tuple(np.asarray(sample['window']).tolist())
            self.results.append(
                WindowResult(sample['video_id'], window, detections, _span(sample))
            )

    def _labels_of(self, instances: dict) -> np.ndarray:
        return _to_numpy(instances['labels'], np.int64)

    def evaluate(self, size: int) -> dict:
        """Gather all processes and compute.

        MMEngine interleaves the processes' results and cuts them to ``size``, which loses windows
        where processes hold unequal numbers. So each process hands over one item, its list, and
        duplicates are found by video and window.

        Args:
            size: Length of the data set; not needed.
        """
        self.results = [self.results]
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Merge windows and evaluate.

        Args:
            results: One list of :class:`WindowResult` per process.
        """
        videos = self.merge_windows(list(chain.from_iterable(results)))
        if self.dump_path is not None:
            write_submission(self.dump_path, videos, self.result_classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        return self.compute(
            ground_truth_table(self.annotations), prediction_table(self.annotations, videos)
        )

    @abstractmethod
    def compute(self, ground_truth: GroundTruth, predictions: Predictions) -> dict[str, float]:
        """Metrics of all videos, and a table in the log.

        Args:
            ground_truth: The annotations.
            predictions: The detections of annotated videos.
        """

    def merge_windows(self, results: Sequence[WindowResult]) -> dict[str, Detections]:
        """Detections of each known video that has a window, in the order of the annotations.

        Args:
            results: All windows, repeated or not.
        """
        windows: dict[str, dict[tuple, WindowResult]] = {}
        for result in results:
            windows.setdefault(result.video_id, {}).setdefault(result.window, result)
        if self.raw_path is not None:
            write_raw_predictions(self.raw_path, self.result_classes, self._candidates(windows))
            print_log(f'Raw predictions are written to {self.raw_path}', logger='current')
        merged = {video.video_id: self._merge_video(video) for video in self._candidates(windows)}
        unknown = sorted(windows.keys() - merged.keys())
        self._warn({**merged, **dict.fromkeys(unknown, _NOTHING)})
        return merged

    def _candidates(
        self, windows: dict[str, dict[tuple, WindowResult]]
    ) -> Iterator[VideoCandidates]:
        """Candidates of each known video that has a window, windows by their start."""
        for video_id, video in self.annotations.videos.items():
            if video_id in windows:
                results = [windows[video_id][key] for key in sorted(windows[video_id])]
                yield VideoCandidates(
                    video_id,
                    video.duration,
                    [result.detections for result in results],
                    np.array([result.span for result in results]),
                )

    def _merge_video(self, video: VideoCandidates) -> Detections:
        video_id, duration, parts, spans = video
        if self.post_processor is not None:
            return self.post_processor.merge(parts, duration, video_id, spans)
        return _checked(Detections(*(np.concatenate(c) for c in zip(*parts))), video_id)

    def _warn(self, videos: Mapping[str, Detections]) -> None:
        for sentence in find_oddities(self.annotations, videos, self.excluded).warnings():
            print_log(
                f'{type(self).__name__}: {sentence} ({self.annotations.ann_file})',
                logger='current',
                level=logging.WARNING,
            )


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
