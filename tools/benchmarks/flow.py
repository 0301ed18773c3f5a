"""Cost of optical flow: minutes of one core, and megabytes, per minute of video.

Times are of the processor, so that other work on the machine counts for little.

Example:
    python tools/benchmarks/flow.py VIDEO --json docs/en/benchmarks/flow.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.data.flow.estimators import METHODS, flow_of_frames

CASES = (('FIR', 54, 72, 6.25), ("THUMOS'14", 110, 147, 10.0), ('the paper', 224, 224, 30.0))
"""Name, height, width and frames per second."""


def frames_of(video: Path, start: float, fps: float, size: tuple[int, int]) -> list[np.ndarray]:
    """:data:`CHUNK` frames of a video from ``start`` seconds on, scaled to ``size`` (w, h)."""
    import cv2

    from mmtad_decomp.datasets import read_frames
    from mmtad_decomp.datasets.flow_store import CHUNK

    capture = cv2.VideoCapture(str(video))
    stored = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if stored <= 0:
        raise FileNotFoundError(f'{video} cannot be read or does not say its frame rate')
    indices = np.floor((start + np.arange(CHUNK) / fps) * stored).astype(np.int64)
    frames = read_frames(video, indices)
    mode = cv2.INTER_AREA if size[0] < frames.shape[2] else cv2.INTER_CUBIC
    return [cv2.resize(frame, size, interpolation=mode) for frame in frames]


def measure(method: str, name: str, frames: Sequence[np.ndarray], fps: float) -> dict:
    """Time and size of a chunk's flow, as a row of the table."""
    from mmtad_decomp.datasets.flow_store import read_flow, write_flow

    estimate = METHODS[method]()
    list(flow_of_frames(frames[:2], estimate))
    begin = time.process_time()
    flows = list(flow_of_frames(frames, estimate))
    seconds = (time.process_time() - begin) / (len(frames) - 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'flow.npz'
        header = write_flow(file, flows, method, fps, None)
        size = file.stat().st_size / len(flows)
        begin = time.process_time()
        back = read_flow(file, 0, len(flows))
        reading = (time.process_time() - begin) / len(flows)
    inside = np.abs(flows) <= header.bound
    return dict(
        case=name,
        method=method,
        height=header.height,
        width=header.width,
        fps=fps,
        milliseconds_per_flow=1000 * seconds,
        minutes_per_minute=seconds * fps,
        megabytes_per_minute=size * fps * 60 / 1e6,
        read_milliseconds_per_flow=1000 * reading,
        rms=header.rms,
        clipped=header.clipped,
        largest_stored_error=float(np.abs(back - flows)[inside].max()),
    )


def table(rows: Sequence[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        '| size, rate | method | ms per flow | minutes per minute of video | MB per minute |',
        '| --- | --- | ---: | ---: | ---: |',
    ]
    for row in rows:
        lines.append(
            f'| {row["height"]}x{row["width"]}, {row["fps"]:g} fps ({row["case"]}) '
            f'| {row["method"]} | {row["milliseconds_per_flow"]:.1f} '
            f'| {row["minutes_per_minute"]:.3f} | {row["megabytes_per_minute"]:.2f} |'
        )
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('video', type=Path, help='a video with motion in it')
    parser.add_argument('--start', type=float, default=10.0, help='second to begin at')
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    args = parser.parse_args(argv)

    import cv2

    from mmtad_decomp.utils.atomic import write_json

    cv2.setNumThreads(1)
    rows = []
    for name, height, width, fps in CASES:
        frames = frames_of(args.video, args.start, fps, (width, height))
        rows += [measure(method, name, frames, fps) for method in METHODS]
    write_json(args.json, dict(rows=rows, opencv=cv2.__version__, numpy=np.__version__), indent=1)
    print(table(rows))
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
