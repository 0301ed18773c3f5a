"""Pictures of what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmtad_decomp.datasets.frame_source import (
    FolderSource,
    FrameSource,
    VideoSource,
    list_images,
    read_image,
)
from mmtad_decomp.datasets.video_reader import read_frames
from mmtad_decomp.visualization import annotate_frames, draw_timeline, write_video

from .results import VideoResult

_KEY_FRAME_SIDE = 160
_VIDEO_SIDE, _VIDEO_FPS = 480, 30.0


def draw_result(
    result: VideoResult, key_frames: int = 12, frame_rate: float | None = None
) -> Figure:
    """Draw a video's detections on a time line under its key frames.

    Args:
        result: The detections. All are drawn, except those that score lower than three others of
            their class at their time: the title counts them.
        key_frames: Frames to show, evenly spaced; 0 for none.
        frame_rate: Images per second of a folder of frames.
    """
    return draw_timeline(
        np.zeros((0, 2)),
        np.zeros(0, dtype=np.int64),
        {'detections': result.detections},
        result.classes,
        result.duration,
        title=result.video.video_id,
        score_thr=0.0,
        max_detections=None,
        frames=_key_frames(result, key_frames, frame_rate) if key_frames else (),
    )


def write_annotated_video(
    result: VideoResult, out: str | Path, frame_rate: float | None = None
) -> None:
    """Write a video with its detections below the picture; sound is left out.

    Frames are read and written one by one, at the video's own rate, at most 30 a second, and
    scaled down where their shorter side has more than 480 pixels.

    Args:
        result: The detections, all of which are shown.
        out: The file, ``.mp4``.
        frame_rate: Images per second of a folder of frames.
    """
    frames = _all_frames(result, frame_rate)
    pictures = annotate_frames(
        frames, frames.fps, result.detections, result.classes, result.duration
    )
    write_video(out, pictures, frames.fps)


def _all_frames(result: VideoResult, frame_rate: float | None) -> FrameSource:
    def open_source(fps: float | None, short_side: int | None) -> FrameSource:
        if result.video.is_folder:
            assert frame_rate is not None  # nothing could be detected in it without
            return FolderSource(result.video.path, frame_rate, fps, short_side)
        return VideoSource(result.video.path, fps, short_side)

    first = next(iter(open_source(None, None)))
    fps = min(open_source(None, None).fps, _VIDEO_FPS)
    return open_source(fps, _VIDEO_SIDE if min(first.shape[:2]) > _VIDEO_SIDE else None)


def _key_frames(
    result: VideoResult, count: int, frame_rate: float | None
) -> list[tuple[float, np.ndarray]]:
    """Times in seconds and pictures in the middle of equal parts of the video."""
    times = (np.arange(count) + 0.5) * result.duration / count
    if not result.video.is_folder:
        return [
            (
                second,
                read_frames(result.video.path, [int(second * 1000)], 1000, _KEY_FRAME_SIDE)[0],
            )
            for second in times.tolist()
        ]
    images = list_images(result.video.path)
    places = np.minimum((times * frame_rate).astype(int), len(images) - 1)
    return [(t, read_image(images[i], _KEY_FRAME_SIDE)) for t, i in zip(times.tolist(), places)]
