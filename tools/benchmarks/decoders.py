"""Compare video decoders on what training asks of them.

Two tasks: a whole video at half its frame rate, as the frame cache decodes it once; and windows of
128 frames from random places, as training without the cache reads them. Both are scaled to a short
side of 64 pixels. Every decoder takes its turn in every round, after a round that is not counted;
the median over the rounds is printed, by the clock and by processor time, with its ratio to the
best.

Example:
    python tools/benchmarks/decoders.py data/fir/videos/*.mp4 --json decoders.json
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.data.common import write_video

WINDOW = 128
Reader = Callable[[str, np.ndarray, int, int], np.ndarray]


def read_pyav(path: str, indices: np.ndarray, short_side: int, threads: int) -> np.ndarray:
    """PyAV, as :func:`mmtad_decomp.datasets.read_frames` uses it; it scales while decoding."""
    from mmtad_decomp.datasets import read_frames

    return read_frames(path, indices, short_side=short_side)


def read_torchcodec(path: str, indices: np.ndarray, short_side: int, threads: int) -> np.ndarray:
    """torchcodec with exact seeking; frames are scaled by OpenCV."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, dimension_order='NHWC', num_ffmpeg_threads=threads)
    frames = decoder.get_frames_at(indices.tolist()).data.numpy()
    return scale(frames, short_side)


def read_decord(path: str, indices: np.ndarray, short_side: int, threads: int) -> np.ndarray:
    """decord, which scales while decoding."""
    import decord

    from mmtad_decomp.datasets.resizing import scaled_size

    height, width = decord.VideoReader(path, num_threads=threads)[0].shape[:2]
    size = scaled_size(width, height, short_side)
    reader = decord.VideoReader(path, width=size[0], height=size[1], num_threads=threads)
    return reader.get_batch(indices.tolist()).asnumpy()


def read_cv2(path: str, indices: np.ndarray, short_side: int, threads: int) -> np.ndarray:
    """OpenCV: it seeks to the first frame and skips through the others."""
    import cv2

    from mmtad_decomp.datasets.resizing import resize, scaled_size

    capture = cv2.VideoCapture(path)
    position, frames = int(indices[0]), []
    if position:
        capture.set(cv2.CAP_PROP_POS_FRAMES, position)
    for index in indices:
        while position <= index:
            if not capture.grab():
                raise RuntimeError(f'{path}: OpenCV finds no frame {position}')
            position += 1
        frame = capture.retrieve()[1]
        size = scaled_size(frame.shape[1], frame.shape[0], short_side)
        frames.append(cv2.cvtColor(resize(frame, size), cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


READERS: dict[str, tuple[str, Reader]] = {
    'PyAV': ('av', read_pyav),
    'torchcodec': ('torchcodec', read_torchcodec),
    'decord': ('decord', read_decord),
    'OpenCV': ('cv2', read_cv2),
}


def scale(frames: np.ndarray, short_side: int) -> np.ndarray:
    """Scale a ``(T, H, W, 3)`` clip."""
    from mmtad_decomp.datasets.resizing import resize, scaled_size

    size = scaled_size(frames.shape[2], frames.shape[1], short_side)
    return np.stack([resize(frame, size) for frame in frames])


def available_readers() -> tuple[dict[str, Reader], dict[str, str]]:
    """Readers that can be used, and their versions or why they cannot."""
    usable, notes = {}, {}
    for name, (module, reader) in READERS.items():
        try:
            loaded = importlib.import_module(module)
            if module == 'torchcodec':
                importlib.import_module('torchcodec.decoders')
        except (ImportError, OSError, RuntimeError) as error:
            notes[name] = f'not usable: {str(error).splitlines()[0][:100]}'
            continue
        usable[name], notes[name] = reader, getattr(loaded, '__version__', '?')
    return usable, notes


def make_video(folder: Path, short_side: int = 240, count: int = 450) -> Path:
    """An h264 video of moving texture at 25 frames per second, key frames as the encoder likes."""
    from mmtad_decomp.datasets.resizing import resize

    rng = np.random.default_rng(0)
    width = short_side * 4 // 3
    coarse = rng.integers(0, 256, (short_side // 8, width // 8, 3), dtype=np.uint8)
    texture = resize(coarse, (width, short_side))
    frames = (
        np.clip(
            np.roll(texture, (i, 2 * i), (0, 1)) + rng.normal(0, 4, texture.shape), 0, 255
        ).astype(np.uint8)
        for i in range(count)
    )
    path = folder / 'generated.mp4'
    write_video(path, frames, 25)
    return path


def plan(paths: list[Path], windows: int, seed: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Files that each round reads: for both tasks, files and their frame indices."""
    from mmtad_decomp.datasets import probe_video

    rng = np.random.default_rng(seed)
    counts = {str(path): probe_video(path).num_frames for path in paths}
    whole = [(path, np.arange(0, count - 1, 2)) for path, count in counts.items()]
    random = []
    for _ in range(windows):
        path = str(rng.choice(list(counts)))
        length = min(WINDOW, counts[path] - 1)
        start = int(rng.integers(0, counts[path] - length))
        random.append((path, np.arange(start, start + length)))
    return {'whole video, every second frame': whole, f'random {WINDOW}-frame windows': random}


def measure(
    readers: dict[str, Reader],
    reads: list[tuple[str, np.ndarray]],
    rounds: int,
    short_side: int,
    threads: int,
) -> dict[str, dict[str, float]]:
    """Median rates of each reader, their turns interleaved.

    Returns:
        By reader, ``per_second`` and ``per_cpu_second``: frames per second of wall time, and of
        processor time summed over threads. The second counts where data loader workers fill all
        cores, and does not suffer from what else the machine does.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, reader in readers.items():
            begin, cpu_begin = time.perf_counter(), time.process_time()
            for path, indices in reads:
                frames = reader(path, indices, short_side, threads)
                if len(frames) != len(indices):
                    raise RuntimeError(f'{name} gave {len(frames)} of {len(indices)} frames')
            if turn > 0:
                taken = (time.perf_counter() - begin, time.process_time() - cpu_begin)
                seconds[name].append(taken)
    count = sum(len(indices) for _, indices in reads)
    rates = {}
    for name, times in seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*times))
        rates[name] = dict(per_second=count / wall, per_cpu_second=count / cpu)
    return rates


def hardware() -> str:
    """Processor and number of cores."""
    from mmtad_decomp.utils import processor_name

    return f'{processor_name()}, {os.cpu_count()} cores'


def print_table(title: str, rates: dict[str, dict[str, float]]) -> None:
    """Print one Markdown table, the cheapest decoder first."""
    best = {key: max(rate[key] for rate in rates.values()) for key in next(iter(rates.values()))}
    print(f'\n{title}\n')
    print('| decoder | frames/s | of the best | frames/CPU s | of the best |')
    print('| --- | --- | --- | --- | --- |')
    for name, rate in sorted(rates.items(), key=lambda item: -item[1]['per_cpu_second']):
        cells = [f'{rate[key]:.0f} | {rate[key] / best[key]:.2f}' for key in best]
        print(f'| {name} | {" | ".join(cells)} |', flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and print one table for each set of videos."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('videos', nargs='*', type=Path, help='videos to decode')
    parser.add_argument('--json', type=Path, help='write the numbers to this file')
    parser.add_argument('--rounds', type=int, default=5, help='rounds that count (default 5)')
    parser.add_argument('--windows', type=int, default=8, help='windows a round (default 8)')
    parser.add_argument('--short-side', type=int, default=64, help='pixels (default 64)')
    parser.add_argument('--threads', type=int, default=1, help='of decord and torchcodec')
    args = parser.parse_args(arguments)

    from mmtad_decomp.utils import write_json

    readers, notes = available_readers()
    print(f'{hardware()}; {args.threads} thread(s), OpenCV as it likes')
    for name, note in notes.items():
        print(f'  {name}: {note}')
    report = dict(hardware=hardware(), threads=args.threads, versions=notes, results={})
    with tempfile.TemporaryDirectory() as folder:
        sets = {'generated h264, 320x240': [make_video(Path(folder))]}
        if args.videos:
            sets['given videos'] = args.videos
        for title, paths in sets.items():
            for task, reads in plan(paths, args.windows, seed=0).items():
                rates = measure(readers, reads, args.rounds, args.short_side, args.threads)
                report['results'].setdefault(title, {})[task] = rates
                print_table(f'{title} ({len(paths)}): {task}', rates)
    if args.json is not None:
        write_json(args.json, report, indent=2)
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
