"""Checks of the arguments of an inference, before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path

from .exports import demand_format
from .outputs import ANNOTATED, PICTURE, demand_files_writable, demand_inputs_kept, drawn_file
from .video_inputs import InputError, VideoInput


def check_options(
    batch_size: int, frame_rate: float | None, score_thr: float, top_k: int | None
) -> None:
    """Check options of :meth:`~.tad_inferencer.TADInferencer.detect_each`.

    Raises:
        InputError: If one is out of range.
    """
    rate_fits = frame_rate is None or 0 < frame_rate < math.inf
    top_k_fits = top_k is None or _is_count(top_k, 1)
    _demand('batch_size', batch_size, _is_count(batch_size, 1), 'a whole number of at least 1')
    _demand('top_k', top_k, top_k_fits, 'a whole number of at least 1, or None')
    _demand('score_thr', score_thr, 0 <= score_thr <= 1, 'from 0 to 1')
    _demand('frame_rate', frame_rate, rate_fits, 'above 0')


def demand_outputs(
    videos: Sequence[VideoInput],
    vis_out_dir: str = '',
    vid_out_dir: str = '',
    pred_out_file: str = '',
    key_frames: int = 0,
    **others: object,
) -> None:
    """Check that what a call writes can be written; the arguments are those of the call.

    Raises:
        ExportError: If the ending of ``pred_out_file`` tells no format for these videos.
        InputError: If a video would be overwritten, or ``key_frames`` is no count.
        OutputPathError: If nothing can be written where a file is to go.
    """
    _demand('key_frames', key_frames, _is_count(key_frames, 0), 'a whole number of at least 0')
    files: dict[str, list[Path]] = {}
    if pred_out_file:
        files['pred_out_file'] = [Path(pred_out_file)]
    if vis_out_dir:
        files['vis_out_dir'] = [drawn_file(vis_out_dir, video, PICTURE) for video in videos]
    if vid_out_dir:
        files['vid_out_dir'] = [drawn_file(vid_out_dir, video, ANNOTATED) for video in videos]
    for option, paths in files.items():
        demand_inputs_kept(videos, paths)
        demand_files_writable(paths, option)
    if pred_out_file:
        demand_format(pred_out_file, len(videos))


def _demand(name: str, value: object, fits: bool, rule: str) -> None:
    if not fits:
        raise InputError(f'{name} must be {rule}, got {value}')


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least
