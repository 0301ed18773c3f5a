"""Train and test a THUMOS'14 config at full size on generated frames, and note time and memory.

Two videos keep their real annotations and lengths, one of each subset; their frames are noise over
moving waves, laid out as tools/data/thumos14 lays them out. The teacher and the pretrained weights
are initialised at random, and everything lies below ``--root``, from where the config runs
unchanged but for its length, two epochs of one batch:

    python tools/benchmarks/thumos_size.py --annotations thumos14.json --root data/thumos_size \
        --json thumos_size.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from mmengine.config import Config

PROJECT = Path(__file__).resolve().parents[2]
FPS, WIDTH, HEIGHT = 10, 196, 110
_STEP = re.compile(r'Epoch\(train\).*? time: ([\d.]+)')


def choose_videos(ann_file: str) -> dict:
    """The shortest video of at least a minute with three actions of each subset."""
    from mmtad_decomp.annotations import load_annotations

    database = {}
    for subset in ('training', 'validation'):
        annotations = load_annotations(ann_file, subset, ignore_labels=('Ambiguous',))
        videos = [
            v for v in annotations.videos.values() if len(v.labels) >= 3 and v.duration >= 60
        ]
        video = min(videos, key=lambda v: v.duration)
        database[video.video_id] = dict(
            subset=subset,
            duration=video.duration,
            fps=FPS,
            frame=int(np.ceil(video.duration * FPS)),
            annotations=[
                dict(segment=segment.tolist(), label=annotations.classes[label])
                for segment, label in zip(video.segments, video.labels)
            ],
        )
    return database


def generate_frames(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` JPEG frames."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for k in range(count):
        waves = [np.sin((x * (c + 1) + y * (3 - c)) / 40 + k / (4 + c)) for c in range(3)]
        image = 128 + 80 * np.stack(waves, axis=-1) + rng.normal(0, 8, (HEIGHT, WIDTH, 3))
        file = folder / f'img_{k + 1:05d}.jpg'
        cv2.imwrite(str(file), np.clip(image, 0, 255).astype(np.uint8))


def generate_weights(cfg: Config, root: Path) -> None:
    """Write a random teacher, and random weights where the pretrained ones are downloaded to."""
    import torch
    from mmaction.registry import MODELS

    detector = cfg.model.student.detector
    address = detector.backbone.init_cfg.checkpoint
    model = MODELS.build({**detector, 'backbone': {**detector.backbone, 'init_cfg': None}})
    downloads = root / 'torch' / 'hub' / 'checkpoints'
    downloads.mkdir(parents=True, exist_ok=True)
    weights = model.backbone.state_dict()
    torch.save(dict(state_dict=weights), downloads / Path(address).name)
    teacher = root / cfg.model.teacher_checkpoint
    teacher.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=model.state_dict()), teacher / 'random.pth')
    (teacher / 'last_checkpoint').write_text('random.pth')


def run(command: list[str], root: Path) -> tuple[str, float]:
    """Run a tool below ``root``; its output, and the peak memory of all children so far in GiB."""
    env = {**os.environ, 'TORCH_HOME': str(root / 'torch'), 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{done.stdout[-4000:]}')
    return done.stdout, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--annotations', required=True, help="THUMOS'14 annotations, JSON")
    parser.add_argument('--config', default='configs/decomp/actionformer_tsm50_thumos.py')
    parser.add_argument('--root', type=Path, default=Path('data/thumos_size'))
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    args = parser.parse_args(argv)

    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import write_json

    root = args.root.resolve()
    data, config = root / 'data' / 'thumos14', PROJECT / args.config
    init_default_scope('mmaction')

    database = choose_videos(args.annotations)
    for seed, (name, video) in enumerate(database.items()):
        generate_frames(data / 'frames' / name, video['frame'], seed)
    write_json(data / 'annotations.json', dict(version='generated frames', database=database))
    generate_weights(Config.fromfile(config), root)

    train = [str(PROJECT / 'tools/train.py'), str(config), '--work-dir', 'work', '--no-validate']
    batch = Config.fromfile(config).train_dataloader.batch_size
    options = ['--cfg-options', 'train_cfg.max_epochs=2', 'default_hooks.logger.interval=1']
    options.append(f'train_dataloader.dataset.indices={batch}')
    log, train_memory = run([*train, *options], root)
    steps = [float(seconds) for seconds in _STEP.findall(log)]
    log, memory = run([str(PROJECT / 'tools/test.py'), str(config), 'work'], root)
    row = dict(
        config=args.config,
        videos={name: video['frame'] for name, video in database.items()},
        batch_size=batch,
        steps=len(steps),
        seconds_per_step=steps,
        train_peak_gib=round(train_memory, 2),
        train_and_test_peak_gib=round(memory, 2),
        map=float(re.findall(r'tad/mAP: ([\d.]+)', log)[-1]),
        device='cuda' if torch.cuda.is_available() else 'cpu',
        machine=platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
    write_json(args.json, row)
    print(json.dumps(row, indent=2))


if __name__ == '__main__':
    sys.exit(run_main(main))
