"""Shared part of the metrics of temporal action detection: windows in, tables of videos out."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain

from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmtad_decomp.annotations import AnnotationError, load_annotations, read_video_list
from mmtad_decomp.annotations.content import shorten
from mmtad_decomp.evaluation.annotation_tables import ground_truth_table, prediction_table
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.evaluation.oddities import find_oddities
from mmtad_decomp.evaluation.submission import write_submission
from mmtad_decomp.postprocessing import (
    Detections,
    VideoMerger,
    WindowResult,
    write_raw_predictions,
)
from mmtad_decomp.postprocessing.detections import concatenate
from mmtad_decomp.structures import AnnotationSet
from mmtad_decomp.utils import demand_writable


class VideoMetric(BaseMetric):
    """Gathers the candidates of all windows and merges them per video.

    Every window counts once, whatever the number of processes and of padded samples. Subclasses
    compute from flat tables.

    Args:
        ann_file: ActivityNet-style JSON with the ground truth.
        subset: See :func:`mmtad_decomp.annotations.load_annotations`.
        classes: As above.
        ignore_labels: As above.
        exclude_videos: Ids of videos, or a file that names them, see
            :func:`mmtad_decomp.annotations.read_video_list`; they are left out of the ground truth
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

    Raises:
        OutputPathError: If ``dump_path`` or ``raw_path`` cannot be written.
    """

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        ignore_labels: str | Sequence[str] = (),
        exclude_videos: Sequence[str] | str = (),
        label_fields: str | Sequence[str] = ('label',),
        post_processor: dict | None = dict(type='PostProcessor'),  # noqa: B006
        dump_path: str | None = None,
        raw_path: str | None = None,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir, prefix=prefix)
        self.subset = subset
        self.excluded = read_video_list(exclude_videos)
        self.annotations: AnnotationSet = load_annotations(
            ann_file, subset, classes, ignore_labels, self.excluded, label_fields
        )
        self.merger = VideoMerger(self.result_classes, post_processor, self.annotations.videos)
        if raw_path is not None and not raw_path.endswith('.npz'):
            raise ValueError(f'raw_path must name a .npz file, got {raw_path!r}')
        for name, path in (('dump_path', dump_path), ('raw_path', raw_path)):
            if path is not None:
                demand_writable(path, f'{type(self).__name__}.{name}')
        self.raw_path = raw_path
        self.dump_path = dump_path

    @property
    def result_classes(self) -> tuple[str, ...]:
        """Names of the classes that the labels of the candidates stand for."""
        return self.annotations.classes

    def demand_instances(self, place: str) -> None:
        """Check that there is an instance to evaluate with.

        Args:
            place: Where the metric is configured, for the message.

        Raises:
            AnnotationError: If there is none, so that no metric would have a value.
        """
        found = self.annotations
        if not found.census.instances:
            raise AnnotationError(
                f'{found.ann_file}: subset {self.subset!r} has no instance of the classes '
                f'{shorten([*found.classes])} to evaluate with ({found.census}); correct '
                f'"annotations" in the file, or `subset`, `classes`, `ignore_labels` or '
                f'`exclude_videos` of {place}'
            )

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the candidates of a batch of windows.

        Args:
            data_batch: Not used.
            data_samples: ``TADDataSample.to_dict()`` of each window, with ``pred_instances``.
        """
        self.results += [self.read_window(sample) for sample in data_samples]

    def read_window(self, sample: dict) -> WindowResult:
        """The candidates of one window that count."""
        return WindowResult.from_sample(sample)

    def evaluate(self, size: int) -> dict:
        """Gather all processes and compute.

        MMEngine interleaves the processes' results and cuts them to ``size``, which loses windows
        where processes hold unequal numbers. So each process hands over one item, its list, and
        duplicates are found by video and window.

        Args:
            size: Length of the data set; not needed.
        """
        self.results: list = [self.results]
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Merge windows and evaluate.

        Raw predictions are written first, so that a candidate that cannot be merged does not cost
        the others; the table comes before the error of a file that cannot be written.

        Args:
            results: One list of :class:`~mmtad_decomp.postprocessing.WindowResult` per process.

        Raises:
            ValueError: If a candidate is not finite.
            OSError: If a file cannot be written.
        """
        windows = list(chain.from_iterable(results))
        failure = self._write_raw(windows)
        videos = self.merge_windows(windows)
        metrics = self.compute(
            ground_truth_table(self.annotations), prediction_table(self.annotations, videos)
        )
        if self.dump_path is not None:
            write_submission(self.dump_path, videos, self.result_classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        if failure is not None:
            raise failure
        return metrics

    def _write_raw(self, windows: Sequence[WindowResult]) -> OSError | None:
        """Write the raw predictions if asked for; the error where that fails."""
        if self.raw_path is not None:
            candidates = self.merger.gather(windows, self._durations())
            try:
                write_raw_predictions(self.raw_path, self.result_classes, candidates)
            except OSError as error:
                return error
            print_log(f'Raw predictions are written to {self.raw_path}', logger='current')
        return None

    def _durations(self) -> dict[str, float]:
        return {name: video.duration for name, video in self.annotations.videos.items()}

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
        merged = self.merger(results, self._durations())
        unknown = sorted({result.video_id for result in results} - merged.keys())
        self._warn({**merged, **dict.fromkeys(unknown, concatenate([]))})
        return merged

    def oddities(self, videos: Mapping[str, Detections]) -> list[str]:
        """Sentences about what is odd in the annotations and the merged detections."""
        return find_oddities(self.annotations, videos, self.excluded).warnings()

    def _warn(self, videos: Mapping[str, Detections]) -> None:
        for sentence in self.oddities(videos):
            print_log(
                f'{type(self).__name__}: {sentence} ({self.annotations.ann_file})',
                logger='current',
                level=logging.WARNING,
            )
