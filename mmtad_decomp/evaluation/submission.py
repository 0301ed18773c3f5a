"""Detections in ActivityNet's submission format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.utils.atomic import write_json


class SubmissionError(ValueError):
    """A submission file is malformed; the message names file, field and mend."""


def write_submission(
    path: str | Path, videos: Mapping[str, Detections], classes: Sequence[str]
) -> None:
    """Write detections atomically, with every digit of their scores.

    Args:
        path: The JSON file.
        videos: Detections by video id.
        classes: Class names in label order.
    """
    results = {
        video_id: [
            dict(segment=segment, score=score, label=classes[label])
            for segment, score, label in zip(*(column.tolist() for column in detections))
        ]
        for video_id, detections in videos.items()
    }
    write_json(path, dict(version='mmtad_decomp 1.0', results=results, external_data={}))


def _detection(item: object, index: dict[str, int], where: str) -> tuple[list[float], float, int]:
    if not isinstance(item, dict):
        raise SubmissionError(f'{where} must be an object, got {item!r}')
    if item.get('label') not in index:
        raise SubmissionError(
            f'{where}: field "label" is {item.get("label")!r}, not one of the classes '
            f'{list(index)}; use the annotations that the results were made with'
        )
    try:
        (start, end), score = item['segment'], float(item['score'])
        return [float(start), float(end)], score, index[item['label']]
    except (KeyError, TypeError, ValueError) as error:
        raise SubmissionError(
            f'{where}: needs "segment": [start, end] in seconds and a number "score"; got {item!r}'
        ) from error


def load_submission(path: str | Path, classes: Sequence[str]) -> dict[str, Detections]:
    """Read detections.

    Args:
        path: The JSON file.
        classes: Class names in label order.

    Returns:
        Detections by video id, in the order of the file.

    Raises:
        SubmissionError: If the file is missing or malformed, or has an unknown label.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise SubmissionError(
            f'results file {path} does not exist; let the test write it (`dump_path` of TADMetric)'
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SubmissionError(f'results file {path} is not valid JSON: {error}') from error
    results = content.get('results') if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(r, list) for r in results.values()):
        raise SubmissionError(f'{path}: field "results" must map video ids to lists of detections')
    index = {name: i for i, name in enumerate(classes)}
    videos = {}
    for video_id, items in results.items():
        rows = [
            _detection(item, index, f'{path}: video "{video_id}", detection {i}')
            for i, item in enumerate(items)
        ]
        videos[video_id] = Detections(
            np.array([row[0] for row in rows], dtype=np.float64).reshape(-1, 2),
            np.array([row[1] for row in rows], dtype=np.float64),
            np.array([row[2] for row in rows], dtype=np.int64),
        )
    return videos
