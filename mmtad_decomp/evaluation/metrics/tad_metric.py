"""mAP of temporal action detection, as an MMEngine metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.logging import print_log

from mmtad_decomp.annotations.content import class_difference
from mmtad_decomp.evaluation.functional import (
    GroundTruth,
    Predictions,
    average_precision,
    mean_over_classes,
    recall_at_kx,
)

from .report import detection_table
from .video_metric import VideoMetric

_MAIN = ''
DEFAULT_TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def parse_tious(
    tious: Sequence[float] | Mapping[str, Sequence[float]],
    main: str | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Union of all thresholds, and for each group the positions of its own in that union.

    Args:
        tious: Thresholds, or named groups of them.
        main: Name of the group that comes first in the result; None: the first one.

    Raises:
        ValueError: If there is no threshold or one is outside (0, 1], or no group ``main``.
    """
    groups = tious if isinstance(tious, Mapping) else {_MAIN: tious}
    if main is not None:
        if main not in groups:
            raise ValueError(
                f'main={main!r} is not a group of tious; '
                + (f'they are {list(groups)}' if _MAIN not in groups else 'these have no names')
            )
        groups = {main: groups[main], **groups}
    values = {name: [round(float(t), 6) for t in group] for name, group in groups.items()}
    union = sorted(set(chain.from_iterable(values.values())))
    if not all(values.values()) or not union or not 0 < union[0] <= union[-1] <= 1:
        raise ValueError(
            'tious must be numbers in (0, 1], or a dict of such lists by name, got '
            f'{dict(groups) if isinstance(tious, Mapping) else tious!r}'
        )
    return np.array(union), {
        name: np.array([union.index(t) for t in group]) for name, group in values.items()
    }


def find_rows(name: str, tious: np.ndarray, groups: Mapping[str, np.ndarray]) -> np.ndarray:
    """Positions of the thresholds whose mean AP a metric such as ``mAP_0.3:0.7`` is the mean of.

    Args:
        name: The metric, without prefix.
        tious: The first result of :func:`parse_tious`.
        groups: The second one.

    Raises:
        ValueError: If the metric is not one of mAP at these thresholds.
    """
    rows = {'mAP': next(iter(groups.values()))}
    rows |= {f'mAP_{group}': places for group, places in groups.items() if group != _MAIN}
    rows |= {f'mAP@{tiou:g}': np.array([i]) for i, tiou in enumerate(tious)}
    if name not in rows:
        raise ValueError(f'{name!r} is not a metric of TADMetric; it has {sorted(rows)}')
    return rows[name]


@METRICS.register_module()
class TADMetric(VideoMetric):
    """Mean average precision of the detections of whole videos.

    Candidates of all windows are gathered, every window counting once whatever the number of
    processes and padded samples, merged per video by the post-processor, and compared with the
    annotation file. Classes without ground truth are left out of the mean. A data set with other
    classes, or another order of them, is refused as soon as MMEngine sets ``dataset_meta``.

    Args:
        ann_file: ActivityNet-style JSON with the ground truth.
        subset: See :func:`mmtad_decomp.annotations.load_annotations`.
        tious: Thresholds, or named groups of them.
        main: Name of the group that gives ``mAP`` and ``AP_<class>``; None: the first one. Name
            it where there are several: MMEngine sorts the keys of a config that it writes.
        classwise: Also print and return the AP of every class.
        recall_ks: Multiples for :func:`~mmtad_decomp.evaluation.functional.recall_at_kx`.
        **kwargs: The other arguments of :class:`~.video_metric.VideoMetric`: ``classes``,
            ``ignore_labels``, ``exclude_videos``, ``label_fields``, ``post_processor``,
            ``dump_path``, ``raw_path``, ``collect_device``, ``collect_dir``, ``prefix``.

    Returns of :meth:`evaluate` (with prefix): ``mAP@0.5`` per threshold, ``mAP`` (mean of the
    main group), ``mAP_<name>`` for every named group, with ``classwise`` also ``AP_<class>`` for
    the classes that have ground truth.
    """

    default_prefix = 'tad'

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        tious: Sequence[float] | dict[str, Sequence[float]] = DEFAULT_TIOUS,
        main: str | None = None,
        classwise: bool = False,
        recall_ks: Sequence[int] = (1, 5),
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, subset, **kwargs)
        self.tious, self.groups = parse_tious(tious, main)
        self.classwise = classwise
        self.recall_ks = tuple(recall_ks)

    @property
    def dataset_meta(self) -> dict | None:
        """What the data set says of itself; MMEngine sets it where a loop is built."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Refuse a data set with other classes, before anything is trained or tested.

        Raises:
            ValueError: If the classes or their order differ.
        """
        classes = (dataset_meta or {}).get('classes')
        how = '' if classes is None else class_difference(self.annotations.classes, classes)
        if how:
            raise ValueError(
                f'TADMetric ({self.annotations.ann_file}) and the data set have {how}; give both '
                'the same `classes` and `ignore_labels`'
            )
        self._dataset_meta = dataset_meta

    def compute(self, ground_truth: GroundTruth, predictions: Predictions) -> dict[str, float]:
        """mAP, and a table with recall in the log."""
        num_classes = len(self.annotations.classes)
        ap = average_precision(ground_truth, predictions, self.tious, num_classes)
        recall = recall_at_kx(ground_truth, predictions, self.tious, num_classes, self.recall_ks)
        table = detection_table(
            self.tious,
            {name or 'average': rows for name, rows in self.groups.items()},
            ap,
            dict(zip(self.recall_ks, recall)),
            self.annotations.classes if self.classwise else None,
        )
        print_log(
            f'{self.annotations.ann_file}: {self.annotations.census}\nmAP (%) by tIoU\n{table}',
            logger='current',
        )
        return self.summary(ap)

    def _group_means(self, ap: np.ndarray) -> dict[str, float]:
        mean = mean_over_classes(ap)
        return {name: float(mean[rows].mean()) for name, rows in self.groups.items()}

    def rows_of(self, name: str) -> np.ndarray:
        """Positions in ``tious`` whose mean AP a metric such as ``mAP_0.3:0.7`` is the mean of.

        Raises:
            ValueError: If the metric is not one of mAP.
        """
        return find_rows(name, self.tious, self.groups)

    def names(self) -> list[str]:
        """Names of the metrics, with prefix."""
        ap = np.full((len(self.tious), len(self.annotations.classes)), np.nan)
        for video in self.annotations.videos.values():
            ap[:, video.labels] = 0
        return [f'{self.prefix}/{name}' for name in self.summary(ap)]

    def summary(self, ap: np.ndarray) -> dict[str, float]:
        """Metrics from ``(T, C)`` average precisions, without prefix."""
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
