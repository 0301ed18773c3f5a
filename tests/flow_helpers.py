"""Generated videos whose optical flow is known, as folders of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH = 64, 80
FPS = 10.0


def texture() -> np.ndarray:
    """A large picture of smooth noise, ``(H, W, 3)`` float32 in [0, 255]."""
    noise = np.random.default_rng(0).uniform(0, 255, (320, 340, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return (noise - noise.min()) / (noise.max() - noise.min()) * 255


def moved_picture(picture: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """A ``(HEIGHT, WIDTH, 3)`` uint8 view of ``picture``, moved by ``offset`` (x, y) pixels."""
    matrix = np.float32([[1, 0, offset[0] - 120], [0, 1, offset[1] - 120]])
    view = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    return np.rint(view).clip(0, 255).astype(np.uint8)


def offsets(count: int, seed: int = 0) -> np.ndarray:
    """Where the picture is in each frame, ``(count, 2)``; every step differs from the others."""
    steps = np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 2))
    return np.cumsum(steps, axis=0)


def write_video(folder: Path, places: np.ndarray) -> None:
    """Write the pictures of a video to a folder, in the layout of ``LoadFrameFolder``."""
    folder.mkdir(parents=True)
    picture = texture()
    for index, place in enumerate(places):
        image = moved_picture(picture, place)
        assert cv2.imwrite(str(folder / f'img_{index + 1:05d}.png'), image[..., ::-1])


def write_set(root: Path, lengths: dict[str, int]) -> dict[str, np.ndarray]:
    """Write a data set of such videos; returns the offsets of each."""
    places, database = {}, {}
    for seed, (name, count) in enumerate(lengths.items()):
        places[name] = offsets(count, seed)
        write_video(root / 'frames' / name, places[name])
        database[name] = dict(
            subset='training',
            duration=count / FPS,
            fps=FPS,
            frame=count,
            annotations=[
                dict(segment=[start / FPS, (start + 5) / FPS], label='move')
                for start in range(0, count - 5, 7)
            ],
        )
    content = dict(version='test', database=database)
    (root / 'annotations.json').write_text(json.dumps(content))
    return places


FRAMES = dict(type='LoadFrameFolder', template='img_{:05d}.png')


def dataset_config(root: Path, pipeline: list[dict], **settings) -> dict:
    """A data set at half of the stored rate, in windows of 8 frames."""
    config = dict(
        type='TADDataset',
        data_root=str(root),
        ann_file='annotations.json',
        source='frames',
        data_prefix=dict(frames='frames'),
        sample_fps=FPS / 2,
        window=8,
        pipeline=pipeline,
    )
    return {**config, **settings}


def load_flow(root: Path, **frames) -> dict:
    """The transform that reads the flow of such a set."""
    return dict(type='LoadOpticalFlow', folder=str(root / 'flow'), frames={**FRAMES, **frames})


def write_config(path: Path, dataset: dict) -> Path:
    """A config that has nothing but a training set."""
    path.write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
    return path


def inner(flow: np.ndarray, margin: int = 10) -> np.ndarray:
    """A flow without its border, where the picture comes and goes."""
    return flow[..., margin:-margin, margin:-margin, :]
