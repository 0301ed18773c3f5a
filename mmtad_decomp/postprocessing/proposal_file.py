"""Proposals or detections of other systems, as candidates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmtad_decomp.annotations import label_of
from mmtad_decomp.annotations.content import as_names, label_values, name_fields
from mmtad_decomp.structures import AnnotationSet
from mmtad_decomp.utils import refuse_duplicates

from .detections import Detections
from .raw_predictions import RawPredictionError, VideoCandidates


class ProposalFile:
    """A JSON file of segments in ActivityNet's format, to be post-processed or combined.

    ``{"results": {video: [{"segment": [start, end], "score": s}, ...]}}``, with a ``"label"`` in
    every item (detections) or in none (proposals, such as those of MMAction2's BMN, to which an
    :class:`~mmtad_decomp.postprocessing.ExternalClassifier` gives labels, and which have label 0
    until then). Segments are in seconds. ActivityNet's ``v_`` may stand before the video ids of
    either file. Unlike :class:`~mmtad_decomp.postprocessing.RawPredictions`, the whole file is in
    memory.

    Args:
        path: The file.
        annotations: The videos to take from the file, with their durations, and the classes.
        label_fields: Field or fields of an item that name its class, as of
            :func:`mmtad_decomp.annotations.load_annotations`.

    Attributes:
        path: The file.
        classes: Class names in label order.
        video_ids: Videos of the file that are annotated, in the order of the annotations.
        has_labels: Whether no item of these videos is without a label.

    Raises:
        RawPredictionError: If the file is missing or malformed, or if only some items of these
            videos have labels.
    """

    def __init__(
        self,
        path: str | Path,
        annotations: AnnotationSet,
        label_fields: str | Sequence[str] = ('label',),
    ) -> None:
        self.path = Path(path)
        self._fields = as_names(label_fields)
        self.classes = annotations.classes
        self._videos = annotations.videos
        self._labels = {name: i for i, name in enumerate(self.classes)}
        results = self._results()
        self._items = {}
        for video_id in annotations.videos:
            for name in (video_id, video_id.removeprefix('v_'), f'v_{video_id}'):
                if name in results:
                    self._items[video_id] = results[name]
                    break
        self.video_ids = tuple(self._items)
        if not self.video_ids:
            raise RawPredictionError(
                f'{path} has none of the {len(annotations.videos)} videos of '
                f'{annotations.ann_file}; give the annotations and subset that it was made for'
            )
        self.has_labels = self._have_labels()

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._items

    def read(self, video_id: str) -> VideoCandidates:
        """The candidates of one video, as one window.

        Raises:
            RawPredictionError: If an item is malformed or has an unknown label.
        """
        items = self._items[video_id]
        rows = [self._row(item, video_id, i) for i, item in enumerate(items)]
        window = Detections(
            np.array([row[0] for row in rows], dtype=np.float64).reshape(-1, 2),
            np.array([row[1] for row in rows], dtype=np.float64),
            np.array([row[2] for row in rows], dtype=np.int64),
        )
        duration = self._videos[video_id].duration
        return VideoCandidates(video_id, duration, [window], np.array([[0.0, duration]]))

    def _results(self) -> dict[str, list]:
        try:
            text = self.path.read_text(encoding='utf-8-sig')
            content = json.loads(text, object_pairs_hook=refuse_duplicates)
        except KeyError as error:
            raise RawPredictionError(
                f'{self.path}: key {error} occurs twice in one object; correct the file'
            ) from error
        except OSError as error:
            raise RawPredictionError(f'proposals {self.path} cannot be read ({error})') from error
        except (ValueError, RecursionError) as error:
            raise RawPredictionError(f'{self.path} is not valid JSON: {error}') from error
        results = content.get('results') if isinstance(content, dict) else None
        if not isinstance(results, dict) or not all(isinstance(r, list) for r in results.values()):
            raise RawPredictionError(
                f'{self.path}: field "results" must map video ids to lists of segments'
            )
        return results

    def _have_labels(self) -> bool:
        first: dict[bool, str] = {}
        for video_id, items in self._items.items():
            for i, item in enumerate(items):
                labelled = isinstance(item, dict) and self._has_label(item)
                if labelled not in first:
                    first[labelled] = f'video "{video_id}", item {i}'
        if len(first) == 2:
            raise RawPredictionError(
                f'{self.path}: {first[False]} has no {name_fields(self._fields)}, but '
                f'{first[True]} has one; give all items a label, or none'
            )
        return False not in first

    def _has_label(self, item: dict) -> bool:
        return any(item.get(name) is not None for name in self._fields)

    def _row(self, item: dict, video_id: str, i: int) -> tuple[list[float], float, int]:
        where = f'{self.path}: video "{video_id}", item {i}'
        try:
            (start, end), score = item['segment'], float(item['score'])
            segment = [float(start), float(end)]
        except (KeyError, TypeError, ValueError) as error:
            raise RawPredictionError(
                f'{where}: needs "segment": [start, end] in seconds and a number "score"; got '
                f'{item!r}'
            ) from error
        if not self._has_label(item):
            return segment, score, 0
        label = label_of(item, self._fields)
        if label not in self._labels:
            got = label_values(item, self._fields) if label is None else label
            raise RawPredictionError(
                f'{where}: field {name_fields(self._fields)} is {got!r}, not one of the '
                f'{len(self.classes)} classes of the annotations; give those that the file was '
                'made with'
            )
        return segment, score, self._labels[label]
