"""Writing videos with PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np


def _write_av(path: Path, frames: Iterable[np.ndarray], fps: Fraction, crf: int) -> int:
    import av

    count = 0
    # x264's macroblock tree reads memory it has not set at small sizes: equal frames then give
    # files that differ from run to run.
    options = {'crf': str(crf), 'preset': 'veryfast', 'x264-params': 'threads=1:mbtree=0'}
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps, options=options)
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        for frame in frames:
            if count == 0:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
            container.mux(stream.encode(picture))
            count += 1
        if count:
            container.mux(stream.encode(None))
    return count


def _write_cv2(path: Path, frames: Iterable[np.ndarray], fps: Fraction) -> int:
    import cv2

    writer, count = None, 0
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), float(fps), size)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        count += 1
    if writer is not None:
        writer.release()
    return count


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: Fraction | float, crf: int = 20
) -> int:
    """Encode frames to ``path`` with one thread, so equal frames give equal bytes.

    Writes h264 where PyAV was built with libx264, MPEG-4 through OpenCV elsewhere. ``path`` is
    written in place: wrap the call in :func:`~tools.data.common.atomic_path`.

    Args:
        path: File to write; its suffix chooses the container.
        frames: ``(H, W, 3)`` uint8 RGB frames, all of one size with even sides.
        fps: Frames per second.
        crf: h264 quality; lower is better and larger.

    Returns:
        Number of frames written.

    Raises:
        ValueError: If there are none.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    if 'libx264' in av.codec.codecs_available:
        count = _write_av(Path(path), frames, rate, crf)
    else:
        count = _write_cv2(Path(path), frames, rate)
    if count == 0:
        raise ValueError(f'{path}: there are no frames to write')
    return count
