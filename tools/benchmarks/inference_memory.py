"""Peak memory of inference on videos of different lengths, which are made for the purpose.

Each length has a process of its own, since a process never gives its peak back::

    python tools/benchmarks/inference_memory.py --minutes 5 300 --out inference_memory.json

The network has random weights: what it finds is noise, and there is more of it than a trained one
would find.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

ROOT = Path(__file__).resolve().parents[2]

CONFIG = ROOT / 'configs' / 'decomp' / 'actionformer_tsm18narrow_grid_mini.py'
SIDES = (96, 64)


def write_video(path: Path, seconds: float, fps: int) -> None:
    """Encode noise that drifts, ``SIDES`` pixels wide and high."""
    import av

    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (SIDES[1] // 8, SIDES[0] // 8, 3), dtype=np.uint8)
    base = base.repeat(8, 0).repeat(8, 1)
    pictures = [np.roll(base, 2 * step, axis=1) for step in range(SIDES[0] // 2)]
    with av.open(str(path), 'w') as output:
        options = {'preset': 'ultrafast', 'g': '100'}
        stream = output.add_stream('libx264', rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIDES, 'yuv420p'
        stream.thread_count = 1
        for i in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(pictures[i % len(pictures)], format='rgb24')
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def write_model(folder: Path, fps: int, window: int) -> Path:
    """A model with random weights; returns its checkpoint, which holds its config."""
    import torch
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import mmtad_decomp  # noqa: F401  # registers the modules
    from mmtad_decomp.apis.publishing import published_config

    init_default_scope('mmaction')
    source = Config.fromfile(CONFIG)
    config = published_config(source)
    config.model.detector.data_preprocessor.pad_to = window
    dataset = config.test_dataloader.dataset
    dataset.update(sample_fps=fps, window=window, overlap=0.25)
    dataset.pipeline[0] = dict(type='LoadVideoFrames', short_side=32)
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    meta = dict(cfg=config.pretty_text, classes=list(source.classes))
    path = folder / 'random.pth'
    torch.save(dict(meta=meta, state_dict=state), path)
    return path


def measure(model: str, video: str) -> dict[str, float]:
    """Look at a video in this process; returns peak memory in MB and seconds."""
    from mmtad_decomp.apis import TADInferencer

    inferencer = TADInferencer(model, device='cpu', show_progress=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    found = inferencer(video, score_thr=0.1)['predictions'][0]
    return dict(
        duration=found['duration'],
        seconds=time.perf_counter() - begin,
        loaded_mb=before / 1024,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        detections=len(found['detections']),
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, nargs='+', default=[5, 300])
    parser.add_argument('--fps', type=int, default=2, help='of the videos and of the model')
    parser.add_argument('--window', type=int, default=64, help='frames')
    parser.add_argument('--out', help='JSON file to write')
    parser.add_argument('--child', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure every length and print a table."""
    args = parse_args(argv)
    if args.child is not None:
        print(json.dumps(measure(*args.child)))
        return
    rows = []
    print(f'{"minutes":>8} {"seconds":>8} {"loaded MB":>10} {"peak MB":>8} {"detections":>10}')
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name), args.fps, args.window)
        for minutes in args.minutes:
            video = Path(name, f'{minutes:g}.mp4')
            write_video(video, 60 * minutes, args.fps)
            command = [sys.executable, '-W', 'ignore', __file__, '--child', str(model), str(video)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            row = dict(minutes=minutes, **json.loads(output.splitlines()[-1]))
            rows.append(row)
            print(
                f'{minutes:8g} {row["seconds"]:8.1f} {row["loaded_mb"]:10.0f} '
                f'{row["peak_mb"]:8.0f} {row["detections"]:10}',
                flush=True,
            )
            video.unlink()
    if args.out:
        from mmtad_decomp.utils import write_json

        write_json(args.out, dict(fps=args.fps, window=args.window, rows=rows), indent=1)


if __name__ == '__main__':
    sys.exit(run_main(main))
