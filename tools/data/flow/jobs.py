"""Flow that a config loads, its split into jobs, and the extraction of a video."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config

import mmtad_decomp  # noqa: F401
from mmtad_decomp.datasets import VideoReadError, num_sampled_frames
from mmtad_decomp.datasets.flow_store import FlowHeader, read_header, write_flow
from mmtad_decomp.datasets.transforms import LoadOpticalFlow
from mmtad_decomp.datasets.transforms.loading import FrameLoader
from mmtad_decomp.utils import class_name
from mmtad_decomp.utils.atomic import remove_temporary_files

from .estimators import METHODS, flow_of_frames

FRAMES_AT_ONCE = 256
"""Frames of a video that are decoded at a time."""

_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
}


@dataclass(frozen=True)
class Job:
    """One video.

    Attributes:
        window: The whole video, as the data set describes it.
        load_flow: Config of the transform that will read the flow.
        method: Estimator.
        bound: See :class:`~mmtad_decomp.datasets.flow_store.FlowHeader`.
        overwrite: Replace flow that was made otherwise.
    """

    window: dict
    load_flow: dict
    method: str
    bound: float
    overwrite: bool = False


def jobs_of_config(
    config: Config, method: str, bound: float, overwrite: bool = False
) -> dict[str, Job]:
    """A job for every video whose flow one of a config's data sets loads, longest first.

    Raises:
        ValueError: If the config loads no flow, or a video's flow in two ways.
    """
    jobs: dict[str, Job] = {}
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    seen: list[dict] = []
    for dataset in (d for key in loaders for d in _datasets(config.get(key))):
        if dataset in seen:
            continue
        seen.append(dataset)
        for load_flow in dataset.get('pipeline', ()):
            if class_name(load_flow.get('type')) != 'LoadOpticalFlow':
                continue
            whole = dict(dataset, pipeline=[], test_mode=True)
            if whole.get('window') is not None:
                whole['window'] = None
            for window in DATASETS.build(whole):
                job = Job(window, dict(load_flow), method, bound, overwrite)
                known = jobs.setdefault(window['video_id'], job)
                if known.load_flow != job.load_flow:
                    raise ValueError(
                        f'{config.filename}: the data sets load the flow of video '
                        f'"{window["video_id"]}" in two ways, {known.load_flow} and '
                        f'{job.load_flow}; give LoadOpticalFlow one folder per way'
                    )
    if not jobs:
        raise ValueError(
            f'{config.filename}: no data set loads optical flow; name a config whose pipeline has '
            'LoadOpticalFlow, such as those of configs/teacher/ that end in `_of`'
        )
    return dict(sorted(jobs.items(), key=lambda item: (-item[1].window['duration'], item[0])))


def _datasets(node: object) -> Iterator[dict]:
    """Data sets with a pipeline in a data loader's config, wrapped ones too."""
    if isinstance(node, Mapping):
        if 'pipeline' in node:
            yield dict(node)
        for value in node.values():
            yield from _datasets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _datasets(value)


def launched_part(launcher: str) -> tuple[int, int]:
    """Rank and number of the processes that a launcher of MMEngine started.

    They have nothing to tell each other, so the launcher's environment is enough.

    Raises:
        ValueError: If this process was not started by that launcher.
    """
    if launcher == 'none':
        return 0, 1
    rank, world = _VARIABLES[launcher]
    if rank not in os.environ or world not in os.environ:
        raise ValueError(
            f'--launcher {launcher}: {rank} and {world} are not set; start the script by that '
            'launcher, or use --shard i/n'
        )
    return int(os.environ[rank]), int(os.environ[world])


def extract(job: Job) -> tuple[FlowHeader, bool]:
    """Extract a video's flow, unless it is there.

    Returns:
        The file's header, and whether it was made now.

    Raises:
        ValueError: If there is flow that was made otherwise, and ``overwrite`` is not set.
        VideoReadError: If the video cannot be read.
    """
    reader = LoadOpticalFlow(**_arguments(job.load_flow))
    file = reader.file_of(job.window['video_id'])
    header = _existing(file)
    if header is not None:
        problem = reader.mismatch(header, job.window)
        if problem is None and (header.method, header.bound) != (job.method, job.bound):
            problem = f'was made by {header.method} with bound {header.bound:g}'
        if problem is None:
            return header, False
        if not job.overwrite:
            raise ValueError(f'{file} {problem}; use --overwrite to replace it')
    remove_temporary_files(file.parent, glob.escape(file.name))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # Processes are the parallelism.
    try:
        frames = _frames(job)
        flows = flow_of_frames(frames, METHODS[job.method]())
        fps = job.window['time_grid'].fps
        header = write_flow(file, flows, job.method, fps, reader.short_side, job.bound)
    finally:
        cv2.setNumThreads(threads)
    return header, True


def _arguments(config: Mapping) -> dict:
    return {key: value for key, value in config.items() if key != 'type'}


def _existing(file: Path) -> FlowHeader | None:
    """Header of a whole flow file; None where there is none."""
    try:
        return read_header(file)
    except (FileNotFoundError, VideoReadError):
        return None


def _frames(job: Job) -> Iterator[np.ndarray]:
    """The video's frames at the sampled rate, decoded piece by piece and never cached."""
    config = {k: v for k, v in job.load_flow['frames'].items() if k != 'cache_dir'}
    loader: FrameLoader = TRANSFORMS.build(config)
    count = num_sampled_frames(job.window['duration'], job.window['time_grid'].fps)
    for start in range(0, count, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, count)
        yield from loader.load(dict(job.window, window=(start, stop)))
