"""A small model with random weights, published, and videos for it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmtad_decomp.apis.publishing import publish

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ('bin', 'lay', 'place', 'set')


def tiny_config(kind: str = 'baseline', **dataset) -> Config:
    """The quickstart's config for windows of 16 frames at 10 fps that detects a lot."""
    config = Config.fromfile(ROOT / 'configs' / kind / 'actionformer_tsm18narrow_grid_mini.py')
    detector = config.model.student.detector if kind == 'decomp' else config.model
    detector.data_preprocessor.pad_to = 16
    detector.head.update(num_classes=len(CLASSES), num_levels=2, prior_prob=0.3)
    settings = dict(window=16, sample_fps=10, overlap=0.5, metainfo=dict(classes=CLASSES))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[loader].num_workers, config[loader].persistent_workers = 0, False
        config[loader].dataset.update({**settings, **dataset})
    config.test_dataloader.dataset.pipeline[0] = dict(type='LoadVideoFrames', short_side=32)
    for evaluator in ('val_evaluator', 'test_evaluator'):
        config[evaluator].classes = CLASSES
    config.classes = CLASSES
    return config


def train(config: Config, folder: Path) -> tuple[Path, Path]:
    """Write the config and a checkpoint as after a training, with random weights."""
    torch.manual_seed(0)
    path, weights = folder / 'trained.py', folder / 'epoch_1.pth'
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(config.pretty_text)
    model = MODELS.build(config.model)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if 'cls' in name and name.endswith('conv.weight'):
                value.normal_(std=0.3)
    meta = dict(cfg=config.pretty_text, dataset_meta=dict(classes=list(CLASSES)))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), weights)
    (folder / 'last_checkpoint').write_text(str(weights))
    return path, weights


def publish_tiny(folder: Path, kind: str = 'baseline', **dataset) -> Path:
    """A published model; returns both files' name without ending."""
    path, weights = train(tiny_config(kind, **dataset), folder / 'work')
    publish(str(path), str(weights), str(folder / 'tiny'))
    return folder / 'tiny'


def annotate(folder: Path, videos: dict[str, tuple[str, float, float]]) -> Path:
    """An annotation file; ``videos`` maps ids to file name, length in seconds and fps."""
    database = {
        name: dict(
            subset='validation',
            duration=duration,
            fps=fps,
            path=file,
            annotations=[dict(segment=[0.2, 0.9], label='bin')],
        )
        for name, (file, duration, fps) in videos.items()
    }
    path = folder / 'annotations.json'
    path.write_text(json.dumps(dict(version='t', classes=list(CLASSES), database=database)))
    return path
