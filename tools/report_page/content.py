"""What the page shows, as plain types."""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from mmtad_decomp.evaluation import ground_truth_table, prediction_table
from mmtad_decomp.evaluation.diagnosis import (
    CATEGORIES,
    TITLES,
    ClassMatches,
    categorize,
    class_average_precision,
    match_by_class,
)
from mmtad_decomp.evaluation.diagnosis.false_positives import best_overlaps
from mmtad_decomp.evaluation.diagnosis.instances import missed
from mmtad_decomp.evaluation.functional import GroundTruth, mean_over_classes

from .runs import Run

_PER_VIDEO = 50
"""Detections of a video on the page, the best ones. Results count all."""

_MIN_PRECISION = 0.05
"""DETAD's least normalised precision of a detection that finds its instance."""


def page_content(runs: Sequence[Run], tious: Sequence[float], embed_mb: float, out: Path) -> dict:
    """Everything but the pictures.

    Args:
        runs: One or two runs on the same ground truth.
        tious: Thresholds.
        embed_mb: Videos go into the page up to so many megabytes in all; the others are linked.
        out: The page, which links count from.
    """
    annotations = runs[0].annotations
    truth = ground_truth_table(annotations)
    videos = list(annotations.videos.values())
    judged = [_judge(run, truth, tious) for run in runs]
    instances = [_instances(truth, number, judged) for number in range(len(videos))]
    room = embed_mb * 1e6
    listed = []
    for number, video in enumerate(videos):
        source, used = _source(runs[0].video_file(video), room, out)
        room -= used
        listed.append(
            dict(
                id=video.video_id,
                duration=video.duration,
                src=source,
                truth=instances[number],
                found=[run['by_video'][number] for run in judged],
            )
        )
    return dict(
        classes=list(annotations.classes),
        categories=[TITLES[name] for name in CATEGORIES],
        tious=[float(tiou) for tiou in tious],
        census=str(annotations.census),
        annotations=annotations.ann_file,
        runs=[
            dict(
                name=run.name,
                file=str(run.detections_file),
                map=result['map'],
                ap=result['ap'],
            )
            for run, result in zip(runs, judged)
        ],
        videos=listed,
    )


def _judge(run: Run, truth: GroundTruth, tious: Sequence[float]) -> dict:
    """Results of a run, its detections by video, and which instances it finds, ``(T, G)``."""
    classes = run.annotations.classes
    found = prediction_table(run.annotations, run.detections)
    matches = match_by_class(truth, found, tious, len(classes))
    ap = class_average_precision(matches)
    return dict(
        map=mean_over_classes(ap).tolist(),
        ap=[[None if np.isnan(v) else v for v in column] for column in ap.T.tolist()],
        found=~missed(matches, matches.mean_positives, _MIN_PRECISION),
        by_video=_by_video(matches, tious, len(run.annotations.videos)),
    )


def _by_video(matches: ClassMatches, tious: Sequence[float], count: int) -> list[list[dict]]:
    """The best detections of each video, with their category at each threshold."""
    categories = categorize(matches, np.asarray(tious, dtype=np.float64))
    overlaps, _ = best_overlaps(matches.ground_truth, matches.predictions)
    table = matches.predictions
    rows: list[list[dict]] = [[] for _ in range(count)]
    for index in np.argsort(-table.scores, kind='stable').tolist():
        into = rows[int(table.videos[index])]
        if len(into) < _PER_VIDEO:
            start, end = table.segments[index].tolist()
            into.append(
                dict(
                    start=round(start, 3),
                    end=round(end, 3),
                    score=round(float(table.scores[index]), 4),
                    label=int(table.labels[index]),
                    category=categories[:, index].tolist(),
                    tiou=round(float(overlaps[index]), 3),
                )
            )
    return rows


def _instances(truth: GroundTruth, video: int, judged: Sequence[dict]) -> list[dict]:
    """Ground truth of a video, and whether each run finds it at each threshold."""
    return [
        dict(
            start=round(float(truth.segments[row, 0]), 3),
            end=round(float(truth.segments[row, 1]), 3),
            label=int(truth.labels[row]),
            found=[run['found'][:, row].tolist() for run in judged],
        )
        for row in np.flatnonzero(truth.videos == video).tolist()
    ]


def _source(file: Path, room: float, out: Path) -> tuple[str | None, int]:
    """Address of a video's file, and the bytes that it takes in the page."""
    if not file.is_file():
        return None, 0
    size = -(-file.stat().st_size * 4 // 3)
    if size > room:
        link = Path(os.path.relpath(file.resolve(), out.resolve().parent)).as_posix()
        return quote(os.fsencode(link)), 0
    kind = mimetypes.guess_type(file.name)[0] or 'video/mp4'
    return f'data:{kind};base64,{base64.b64encode(file.read_bytes()).decode("ascii")}', size
