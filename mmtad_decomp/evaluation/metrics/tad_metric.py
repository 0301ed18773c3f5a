"""mAP of temporal action detection, as an MMEngine metric."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from mmaction.registry import METRICS, TASK_UTILS
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmtad_decomp.evaluation.functional import (
    GroundTruth,
    Predictions,
    average_precision,
    mean_over_classes,
    recall_at_kx,
)
from mmtad_decomp.evaluation.submission import write_submission
from mmtad_decomp.postprocessing import Detections, VideoCandidates, write_raw_predictions
from mmtad_decomp.structures import AnnotationSet, TimeGrid, load_annotations

from .report import format_table

_MAIN = ''


@dataclass(frozen=True)
class WindowResult:
    """Candidates of one window, as they travel between processes."""

    video_id: str
    window: tuple
    detections: Detections
    span: tuple[float, float] = (np.nan, np.nan)
    """Start and end in seconds; NaN where the sample has no time grid."""


def _to_numpy(value: object, dtype: type) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value).astype(dtype, copy=False)


def _span(sample: dict) -> tuple[float, float]:
    grid: TimeGrid | None = sample.get('time_grid')
    if grid is None:
        return np.nan, np.nan
    start, stop = (float(step) for step in sample['window'])
    return grid.start / grid.fps, (grid.start + (stop - start) * grid.stride) / grid.fps


def parse_tious(
    tious: Sequence[float] | dict[str, Sequence[float]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Union of all thresholds, and for each group the positions of its own in that union.

    Raises:
        ValueError: If there is no threshold or one is outside (0, 1].
    """
    groups = tious if isinstance(tious, dict) else {_MAIN: tious}
    values = {name: [round(float(t), 6) for t in group] for name, group in groups.items()}
    union = sorted(set(chain.from_iterable(values.values())))
    if not all(values.values()) or not union or not 0 < union[0] <= union[-1] <= 1:
        raise ValueError(
            'tious must be numbers in (0, 1], or a dict of such lists by name, got '
            f'{dict(groups) if isinstance(tious, dict) else tious!r}'
        )
    return np.array(union), {
        name: np.array([union.index(t) for t in group]) for name, group in values.items()
    }


@METRICS.register_module()
class TADMetric(BaseMetric):
    """Mean average precision of the detections of whole videos.

    Candidates of all windows are gathered, every window counting once whatever the number of
    processes and padded samples, merged per video by the post-processor, and compared with the
    annotation file. Classes without ground truth are left out of the mean.

    Args:
        ann_file: ActivityNet-style JSON with the ground truth.
        subset: See :func:`mmtad_decomp.structures.load_annotations`.
        classes: As above.
        ignore_labels: As above.
        exclude_videos: As above; detections of these videos are dropped too.
        tious: Thresholds, or named groups of them. The first group gives ``mAP``.
        post_processor: Config of a TASK_UTILS module such as
            :class:`~mmtad_decomp.postprocessing.PostProcessor`; None evaluates the candidates as
            they are. Its ``prepare(classes, video_ids)`` is called at once, so that it can refuse
            before anything is tested.
        classwise: Also print and return the AP of every class.
        recall_ks: Multiples for :func:`~mmtad_decomp.evaluation.functional.recall_at_kx`.
        dump_path: Where to write the detections as an ActivityNet submission; None writes none.
        raw_path: Where to write the candidates before post-processing (``.npz``, see
            :func:`~mmtad_decomp.postprocessing.write_raw_predictions`); None writes none.
        collect_device: ``'cpu'`` or ``'gpu'``, see MMEngine's ``BaseMetric``.
        collect_dir: See MMEngine's ``BaseMetric``.
        prefix: Prefix of the returned names.

    Returns of :meth:`evaluate` (with prefix): ``mAP@0.5`` per threshold, ``mAP`` (mean of the
    first group), ``mAP_<name>`` for every named group, with ``classwise`` also ``AP_<class>`` for
    the classes that have ground truth.
    """

    default_prefix = 'tad'

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        ignore_labels: Sequence[str] = (),
        exclude_videos: Sequence[str] = (),
        tious: Sequence[float] | dict[str, Sequence[float]] = (0.3, 0.4, 0.5, 0.6, 0.7),
        post_processor: dict | None = dict(type='PostProcessor'),  # noqa: B006
        classwise: bool = False,
        recall_ks: Sequence[int] = (1, 5),
        dump_path: str | None = None,
        raw_path: str | None = None,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir, prefix=prefix)
        self.annotations: AnnotationSet = load_annotations(
            ann_file, subset, classes, ignore_labels, exclude_videos
        )
        self.excluded = set(exclude_videos)
        self.tious, self.groups = parse_tious(tious)
        self.post_processor = None if post_processor is None else TASK_UTILS.build(post_processor)
        if self.post_processor is not None:
            self.post_processor.prepare(self.annotations.classes, list(self.annotations.videos))
        if raw_path is not None and not raw_path.endswith('.npz'):
            raise ValueError(f'raw_path must name a .npz file, got {raw_path!r}')
        self.raw_path = raw_path
        self.classwise = classwise
        self.recall_ks = tuple(recall_ks)
        self.dump_path = dump_path

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
                _to_numpy(instances['labels'], np.int64),
            )
            window = tuple(np.asarray(sample['window']).tolist())
            self.results.append(
                WindowResult(sample['video_id'], window, detections, _span(sample))
            )

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
        self._check_classes()
        videos = self._merge(list(chain.from_iterable(results)))
        if self.dump_path is not None:
            write_submission(self.dump_path, videos, self.annotations.classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        ground_truth, predictions = self._tables(videos)
        num_classes = len(self.annotations.classes)
        ap = average_precision(ground_truth, predictions, self.tious, num_classes)
        recall = recall_at_kx(ground_truth, predictions, self.tious, num_classes, self.recall_ks)
        self._print(ap, recall)
        return self._summary(ap)

    def _check_classes(self) -> None:
        trained = (self.dataset_meta or {}).get('classes')
        if trained is not None and tuple(trained) != self.annotations.classes:
            raise ValueError(
                f'TADMetric reads the classes {list(self.annotations.classes)} from '
                f'{self.annotations.ann_file}, but the data set has {list(trained)}; give both '
                'the same `classes` and `ignore_labels`'
            )

    def _merge(self, results: list[WindowResult]) -> dict[str, Detections]:
        """Detections of each known video that has a window, in the order of the annotations."""
        windows: dict[str, dict[tuple, WindowResult]] = {}
        for result in results:
            windows.setdefault(result.video_id, {}).setdefault(result.window, result)
        unknown = sorted(set(windows) - set(self.annotations.videos) - self.excluded)
        if unknown:
            self._warn(f'{len(unknown)} tested videos are unknown', unknown)
        if self.raw_path is not None:
            write_raw_predictions(
                self.raw_path, self.annotations.classes, self._candidates(windows)
            )
            print_log(f'Raw predictions are written to {self.raw_path}', logger='current')
        merged = {}
        for video_id, duration, parts, spans in self._candidates(windows):
            merged[video_id] = (
                Detections(*(np.concatenate(column) for column in zip(*parts)))
                if self.post_processor is None
                else self.post_processor.merge(parts, duration, video_id, spans)
            )
        untested = [video for video in self.annotations.videos if video not in windows]
        if untested:
            self._warn(f'{len(untested)} annotated videos were not tested', untested)
        silent = [video for video, found in merged.items() if not len(found.scores)]
        if silent:
            self._warn(f'{len(silent)} tested videos have no detection', silent)
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

    def _warn(self, what: str, videos: list[str]) -> None:
        shown = ', '.join(videos[:5]) + (', ...' if len(videos) > 5 else '')
        print_log(
            f'TADMetric: {what} ({self.annotations.ann_file}): {shown}',
            logger='current',
            level=logging.WARNING,
        )

    def _tables(self, videos: dict[str, Detections]) -> tuple[GroundTruth, Predictions]:
        annotated = self.annotations.videos.values()
        number = {video.video_id: i for i, video in enumerate(annotated)}
        ground_truth = GroundTruth(
            np.repeat(np.arange(len(number)), [len(video.labels) for video in annotated]),
            np.concatenate([video.segments for video in annotated]),
            np.concatenate([video.labels for video in annotated]),
        )
        none = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
        columns = zip(*[none, *videos.values()])
        segments, scores, labels = (np.concatenate(column) for column in columns)
        counts = [len(detections.scores) for detections in videos.values()]
        ids = np.array([number[video_id] for video_id in videos], dtype=np.int64)
        return ground_truth, Predictions(np.repeat(ids, counts), segments, scores, labels)

    def _group_means(self, ap: np.ndarray) -> dict[str, float]:
        mean = mean_over_classes(ap)
        return {name: float(mean[rows].mean()) for name, rows in self.groups.items()}

    def _summary(self, ap: np.ndarray) -> dict[str, float]:
        groups = self._group_means(ap)
        metrics = {'mAP': next(iter(groups.values()))}
        metrics |= {f'mAP_{name}': value for name, value in groups.items() if name != _MAIN}
        metrics |= {
            f'mAP@{tiou:g}': float(value) for tiou, value in zip(self.tious, mean_over_classes(ap))
        }
        if self.classwise:
            rows = next(iter(self.groups.values()))
            for name, column in zip(self.annotations.classes, ap.T):
                if not np.isnan(column[rows]).any():
                    metrics[f'AP_{name}'] = float(column[rows].mean())
        return metrics

    def _print(self, ap: np.ndarray, recall: np.ndarray) -> None:
        groups = {name or 'average': rows for name, rows in self.groups.items()}
        header = ['', *(f'{tiou:g}' for tiou in self.tious), *groups]

        def row(name: str, values: np.ndarray) -> list[str]:
            cells = [*values, *(values[rows].mean() for rows in groups.values())]
            return [name, *('-' if np.isnan(cell) else f'{100 * cell:.2f}' for cell in cells)]

        body = []
        if self.classwise:
            body += [row(name, ap[:, i]) for i, name in enumerate(self.annotations.classes)]
        body.append(row('mAP', mean_over_classes(ap)))
        body += [
            row(f'recall@{k}x', mean_over_classes(values))
            for k, values in zip(self.recall_ks, recall)
        ]
        print_log(
            f'{self.annotations.ann_file}: {self.annotations.census}\n'
            f'mAP (%) by tIoU\n{format_table(header, body)}',
            logger='current',
        )
