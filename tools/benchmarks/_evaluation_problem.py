"""Detection problems of a given size for the evaluation benchmark, as tables and as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.utils import write_json


class Problem(NamedTuple):
    """Annotations and detections.

    Attributes:
        classes: Class names.
        video_ids: Names of the videos; the tables number them in this order.
        durations: ``(V,)`` seconds.
        ground_truth: The annotations.
        predictions: The detections, video by video, in no order of score.
    """

    classes: tuple[str, ...]
    video_ids: tuple[str, ...]
    durations: np.ndarray
    ground_truth: GroundTruth
    predictions: Predictions


def random_ground_truth(
    rng: np.random.Generator, num_videos: int, instances: float, num_classes: int, duration: float
) -> tuple[np.ndarray, GroundTruth]:
    """Videos around ``duration`` seconds with one class each and ``instances`` on average."""
    durations = rng.uniform(0.5, 1.5, num_videos) * duration
    counts = 1 + rng.poisson(instances - 1, num_videos)
    videos = np.repeat(np.arange(num_videos), counts)
    length = durations[videos] * rng.uniform(0.02, 0.9, len(videos)) / counts[videos]
    start = rng.uniform(0, 1, len(videos)) * (durations[videos] - length)
    labels = rng.integers(0, num_classes, num_videos)[videos]
    return durations, GroundTruth(videos, np.stack([start, start + length], 1), labels)


def real_ground_truth(
    ann_file: Path, subset: str
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray, GroundTruth]:
    """Classes, video ids, durations and instances of an annotation file."""
    annotations = load_annotations(ann_file, subset)
    videos = list(annotations.videos.values())
    table = GroundTruth(
        np.repeat(np.arange(len(videos)), [len(v.labels) for v in videos]),
        np.concatenate([v.segments for v in videos]),
        np.concatenate([v.labels for v in videos]),
    )
    durations = np.array([v.duration for v in videos])
    return annotations.classes, tuple(annotations.videos), durations, table


def detect(
    rng: np.random.Generator,
    truth: GroundTruth,
    durations: np.ndarray,
    per_video: int,
    labels: int,
) -> Predictions:
    """``per_video`` detections in every video.

    Half are instances of the video moved by noise, half lie anywhere; seven in ten have the label
    of an instance of the video, the others a random one. A detection's score falls with the
    noise.
    """
    videos = np.repeat(np.arange(len(durations)), per_video)
    order = np.argsort(truth.videos, kind='stable')
    first = np.searchsorted(truth.videos[order], videos)
    counts = np.bincount(truth.videos, minlength=len(durations))[videos]
    empty = counts == 0
    chosen = order[
        np.minimum(first + (rng.uniform(size=len(videos)) * counts).astype(int), len(order) - 1)
    ]
    segments = truth.segments[chosen]
    noise = rng.normal(0, rng.choice([0.05, 0.2, 0.5], len(videos))[:, None], (len(videos), 2))
    segments = segments + noise * (segments[:, 1:] - segments[:, :1])
    anywhere = empty | (rng.uniform(size=len(videos)) < 0.5)
    places = rng.uniform(0, durations[videos][:, None], (len(videos), 2))
    segments = np.sort(np.where(anywhere[:, None], places, segments), axis=1)
    guessed = empty | (rng.uniform(size=len(videos)) < 0.3)
    random_labels = rng.integers(0, labels, len(videos))
    quality = np.where(anywhere | guessed, 0.3, 0.8 - np.abs(noise).mean(axis=1))
    scores = np.clip(quality + rng.normal(0, 0.2, len(videos)), 1e-6, 1)
    scores *= rng.uniform(0.999, 1, len(videos))  # no ties, which peers order arbitrarily
    return Predictions(
        videos, segments, scores, np.where(guessed, random_labels, truth.labels[chosen])
    )


def make_problem(
    num_videos: int,
    per_video: int,
    num_classes: int,
    instances: float,
    duration: float,
    seed: int = 0,
    ann_file: Path | None = None,
) -> Problem:
    """A problem on generated ground truth, or on the validation videos of ``ann_file``."""
    rng = np.random.default_rng(seed)
    if ann_file is None:
        classes = tuple(f'class {i}' for i in range(num_classes))
        video_ids = tuple(f'video {i}' for i in range(num_videos))
        durations, truth = random_ground_truth(rng, num_videos, instances, num_classes, duration)
    else:
        classes, video_ids, durations, truth = real_ground_truth(ann_file, 'validation')
    predictions = detect(rng, truth, durations, per_video, len(classes))
    return Problem(classes, video_ids, durations, truth, predictions)


def write_files(problem: Problem, folder: Path) -> dict[str, Path]:
    """Write the annotations and detections for us and for the peer, which wants other fields.

    Returns:
        Paths by name: ``annotations``, ``submission`` and ``peer_submission``. The annotations
        serve both.
    """
    database = {
        name: dict(subset='validation', duration=duration, annotations=[])
        for name, duration in zip(problem.video_ids, problem.durations.tolist())
    }
    for video, segment, label in zip(*(column.tolist() for column in problem.ground_truth)):
        database[problem.video_ids[video]]['annotations'].append(
            dict(segment=segment, label=problem.classes[label], label_id=label)
        )
    ours: dict[str, list[dict]] = {name: [] for name in problem.video_ids}
    peer: dict[str, list[dict]] = {name: [] for name in problem.video_ids}
    for video, segment, score, label in zip(*(c.tolist() for c in problem.predictions)):
        name, class_name = problem.video_ids[video], problem.classes[label]
        ours[name].append(dict(segment=segment, score=score, label=class_name))
        peer[name].append(dict(segment=segment, scores=score, label_id=label))
    paths = {
        name: folder / f'{name}.json' for name in ('annotations', 'submission', 'peer_submission')
    }
    write_json(paths['annotations'], dict(classes=list(problem.classes), database=database))
    write_json(paths['submission'], dict(results=ours))
    paths['peer_submission'].write_text(json.dumps(dict(database=peer)))
    return paths
