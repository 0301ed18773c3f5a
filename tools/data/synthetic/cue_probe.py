"""Measure that the synthetic classes need appearance and motion both.

Trains a small network to classify ground-truth segments from three inputs: single frames
(appearance only), temporal gradients (motion only), and frames with their gradients (both). An
input that lacks a cue must fall short on the classes that differ in that cue alone.

Example:
    python tools/data/synthetic/cue_probe.py --data data/synthetic
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.command_line import run_main
from tools.data.common import read_json
from tools.data.synthetic.timeline import (
    APPEARANCE_CLASSES,
    CLASSES,
    FPS,
    MOTION_CLASSES,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

_SIDE, _CLIP, _SHIFT = 40, 12, 4
_TEST_CLIPS = 3


@dataclass(frozen=True)
class Segment:
    """One ground-truth segment.

    Attributes:
        frames: ``(T, 3, H, W)`` float32, zero mean, unit scale.
        label: Index into ``CLASSES``.
    """

    frames: torch.Tensor
    label: int


def _single_frame(clip: torch.Tensor) -> torch.Tensor:
    return clip[:, :, :1]


def _gradient(clip: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.pad(clip[:, :, 1:] - clip[:, :, :-1], (0, 0, 0, 0, 0, 1))


def _both(clip: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([clip, _gradient(clip)], dim=1)


# What each network sees of an (N, 3, T, H, W) clip, and in how many channels.
INPUTS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    'appearance (single frame)': (_single_frame, 3),
    'motion (temporal gradient)': (_gradient, 3),
    'both': (_both, 6),
}


def load_segments(root: Path, subset: str, context: float) -> list[Segment]:
    """Cut the ground-truth segments of a subset out of their videos.

    Args:
        root: Folder written by ``render.py``.
        subset: ``'training'`` or ``'validation'``.
        context: Seconds of background to keep on either side.
    """
    import cv2
    import torch

    from mmtad_decomp.datasets import iterate_frames

    segments = []
    for entry in read_json(root / 'annotations.json')['database'].values():
        if entry['subset'] != subset:
            continue
        video = [
            cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            for frame in iterate_frames(root / entry['path'])
        ]
        pixels = torch.from_numpy(np.stack(video)).permute(0, 3, 1, 2).float().sub(128).div(64)
        for item in entry['annotations']:
            start, stop = (round(t * FPS) for t in item['segment'])
            margin = round(context * FPS)
            frames = pixels[max(0, start - margin) : stop + margin]
            segments.append(Segment(frames, CLASSES.index(item['label'])))
    return segments


def _network(channels: int) -> nn.Sequential:
    from torch import nn

    layers: list[nn.Module] = []
    for width, stride in ((16, 1), (32, 2), (64, 1)):
        layers += [
            nn.Conv3d(channels, width, 3, stride=(stride, 2, 2), padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    pool = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, *pool, nn.Linear(channels, len(CLASSES)))


def _clip(frames: torch.Tensor, start: int, length: int) -> torch.Tensor:
    return frames[start : start + length].transpose(0, 1)


def _train_batch(
    segments: list[Segment], length: int, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random clips, each shifted by a few pixels: ``(N, 3, T, H, W)`` and ``(N,)`` labels."""
    import torch

    clips, labels = [], []
    for i in rng.integers(len(segments), size=size):
        segment = segments[i]
        start = int(rng.integers(len(segment.frames) - length + 1))
        shift = tuple(int(v) for v in rng.integers(-_SHIFT, _SHIFT + 1, 2))
        clips.append(torch.roll(_clip(segment.frames, start, length), shift, dims=(-2, -1)))
        labels.append(segment.label)
    return torch.stack(clips), torch.tensor(labels)


def _predict(
    network: nn.Module, view: Callable, segments: list[Segment], length: int
) -> np.ndarray:
    """Class of each segment, from the mean probability of clips spread over it."""
    import torch

    predictions = []
    for segment in segments:
        last = len(segment.frames) - length
        starts = np.linspace(0, last, _TEST_CLIPS).round().astype(int)
        clips = torch.stack([_clip(segment.frames, int(start), length) for start in starts])
        with torch.no_grad():
            scores = network(view(clips)).softmax(-1).mean(0)
        predictions.append(scores.argmax().item())
    return np.array(predictions)


def probe(
    name: str, train: list[Segment], test: list[Segment], steps: int, seed: int
) -> np.ndarray:
    """Train on one input with one seed; returns for every test segment whether it was right."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    view, channels = INPUTS[name]
    length = min([_CLIP] + [len(s.frames) for s in train + test])
    network = _network(channels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc=f'{name}, seed {seed}'):
        clips, labels = _train_batch(train, length, 16, rng)
        loss = functional.cross_entropy(network(view(clips)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    labels = np.array([segment.label for segment in test])
    return _predict(network.eval(), view, test, length) == labels


def _cell(right: np.ndarray, chosen: np.ndarray) -> str:
    """Mean and standard deviation over seeds of the accuracy on ``chosen`` segments."""
    accuracy = 100 * right[:, chosen].mean(1)
    return f'{accuracy.mean():.1f} ± {accuracy.std():.1f}'


def run(root: Path, steps: int, seeds: int, context: float) -> str:
    """Probe all inputs; returns a Markdown table of accuracies in percent."""
    train = load_segments(root, 'training', context)
    test = load_segments(root, 'validation', context)
    names = np.array([CLASSES[segment.label] for segment in test])
    groups = [np.isin(names, g) for g in (CLASSES, MOTION_CLASSES, APPEARANCE_CLASSES)]
    lines = [
        '| input | all 8 classes | 4 motion classes | 4 appearance classes |',
        '| --- | ---: | ---: | ---: |',
    ]
    for name in INPUTS:
        right = np.stack([probe(name, train, test, steps, seed) for seed in range(seeds)])
        cells = [_cell(right, chosen) for chosen in groups]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=Path('data/synthetic'), help='rendered set')
    parser.add_argument('--steps', type=int, default=200, help='training steps per network')
    parser.add_argument('--seeds', type=int, default=3, help='networks per input')
    parser.add_argument(
        '--context', type=float, default=0.0, help='seconds of background beside each segment'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parse_args(argv)

    import torch

    # Networks this small run slower on several threads than on one.
    torch.set_num_threads(1)
    print(run(args.data, args.steps, args.seeds, args.context))
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
