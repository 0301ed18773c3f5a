"""A tiny video data set, and the options that reduce the synthetic configs to it."""

import json
import os
from itertools import count
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FPS, FRAMES, SIDE = 10, 24, 40
_RUNS = count()


def write_videos(root):
    """Two training videos and one for validation, with an action each."""
    database = {}
    rng = np.random.default_rng(0)
    (root / 'videos').mkdir(parents=True)
    for index, subset in enumerate(('training', 'training', 'validation')):
        name, path = f'v{index}', f'videos/v{index}.avi'
        fourcc = cv2.VideoWriter_fourcc(*'MJPG')
        writer = cv2.VideoWriter(str(root / path), fourcc, FPS, (SIDE, SIDE))
        assert writer.isOpened()
        base = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        for step in range(FRAMES):
            writer.write(np.roll(base, step * (index + 1), axis=1))
        writer.release()
        database[name] = dict(
            subset=subset,
            duration=FRAMES / FPS,
            fps=FPS,
            frame=FRAMES,
            path=path,
            annotations=[dict(segment=[0.3, 1.1], label='shake')],
        )
    classes = ['shake', 'sway', 'rise', 'drop', 'spin_a', 'spin_b', 'spin_c', 'spin_d']
    content = dict(version='tiny', classes=classes, database=database)
    (root / 'annotations.json').write_text(json.dumps(content))
    return root


def options(root, epochs=1, **more):
    """``--cfg-options`` that train a synthetic config on the tiny set."""
    settings = {
        'experiment_name': f'tiny_{os.getpid()}_{next(_RUNS)}',
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': 100,
        'default_hooks.logger.interval': 1,
    }
    for loader in ('train', 'val', 'test'):
        at = f'{loader}_dataloader'
        settings |= {
            f'{at}.num_workers': 0,
            f'{at}.persistent_workers': False,
            f'{at}.batch_size': 1,
            f'{at}.dataset.data_root': root,
            f'{at}.dataset.window': 16,
            f'{at}.dataset.min_visible': 0.3,
            f'{at}.dataset.pipeline.0.cache_dir': root / 'cache',
            f'{at}.dataset.pipeline.0.short_side': 32,
            f'{at}.dataset.pipeline.1.size': 32,
        }
    for evaluator in ('val', 'test'):
        settings[f'{evaluator}_evaluator.ann_file'] = root / 'annotations.json'
    return ['--cfg-options', *(f'{key}={value}' for key, value in (settings | more).items())]


def config(kind):
    """Path of a config of the synthetic set."""
    return str(
        ROOT / 'configs' / kind / f'actionformer_tsm18_synthetic{"_tg" * (kind == "teacher")}.py'
    )
