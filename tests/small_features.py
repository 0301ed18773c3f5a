"""A small data set of features with three classes, and a config of a small ActionFormer for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

CLASSES = ('a', 'b', 'c')
FPS, STRIDE, FRAMES = 25, 4, 16
_RUNS = count()

_CONFIG = """
_base_ = [
    '{configs}/_base_/datasets/tad.py',
    '{configs}/_base_/schedules/scratch_4e.py',
    '{configs}/_base_/default_runtime.py',
]
experiment_name = '{name}'
data = dict(
    data_root='{root}',
    source='feature',
    data_prefix=dict(feature='features'),
    feature_stride=4,
    feature_frames=16,
)
load = dict(type='LoadFeatures', channels=32)
pack = dict(type='PackTADInputs')
crop = dict(type='RandomFeatureCrop', max_length=192)
train_dataloader = dict(batch_size=5, num_workers=0, dataset=dict(**data, pipeline=[load, crop, pack]))
val_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(**data, pipeline=[load, pack]))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{root}/annotations.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = []
model = dict(
    type='TADDetector',
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
    head=dict(
        type='ActionFormerHead',
        num_classes={classes},
        in_channels=32,
        num_levels=4,
        encoder=dict(embed_dims=32, window_size=9, num_stem_layers=1),
    ),
)
"""  # noqa: E501


def write(
    root: Path,
    classes: int = 3,
    keep: int = 1,
    edit: Callable[[dict], object] | None = None,
) -> Path:
    """Write features, annotations and the config.

    Args:
        root: Folder to write to.
        classes: ``num_classes`` of the head.
        keep: Store every keep-th feature step only.
        edit: Changes the annotations' database in place.

    Returns:
        The config.
    """
    rng, database = np.random.default_rng(0), {}
    (root / 'features').mkdir(parents=True)
    for i in range(7):
        steps = int(rng.integers(90, 200))
        duration = (steps * STRIDE + FRAMES - STRIDE) / FPS
        features = rng.normal(0, 1, (steps, 32)).astype('float32')
        starts = rng.uniform(0, duration - 6, 3)
        np.save(root / 'features' / f'v{i}.npy', features[::keep])
        database[f'v{i}'] = dict(
            subset='training' if i < 5 else 'validation',
            duration=round(duration, 2),
            fps=FPS,
            annotations=[
                dict(segment=[round(start, 2), round(start + 4, 2)], label=CLASSES[k])
                for k, start in enumerate(starts)
            ],
        )
    if edit is not None:
        edit(database)
    content = dict(classes=list(CLASSES), database=database)
    (root / 'annotations.json').write_text(json.dumps(content))
    text = _CONFIG.format(
        configs=Path(__file__).resolve().parents[1] / 'configs',
        name=f'small_{os.getpid()}_{next(_RUNS)}',
        root=root,
        classes=classes,
    )
    (root / 'config.py').write_text(text)
    return root / 'config.py'
