"""Draw windows of a data set as a model is given them, with their targets.

Example:
    python tools/analysis_tools/browse_dataset.py configs/custom/student.py --number 12

Pictures show the frames after all transforms, random ones included. A hatched target is one that
no point of the head can stand for: it is too short, too long or between steps.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tools.command_line import (
    add_cfg_options_argument,
    add_traceback_argument,
    demand_config_file,
    run_main,
)

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmtad_decomp.datasets import TADDataset
    from mmtad_decomp.models.detectors import TADDetector

_KEY_FRAMES = 12


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--loader', choices=('train', 'val', 'test'), default='train', help='default: train'
    )
    parser.add_argument('--number', type=int, default=12, help='windows to draw (default: 12)')
    parser.add_argument('--seed', type=int, default=0, help='of the choice and the transforms')
    parser.add_argument('--out-dir', default='work_dirs/browse', help='where the pictures go')
    add_cfg_options_argument(parser)
    add_traceback_argument(parser)
    return parser.parse_args(argv)


def build_dataset(config: Config, loader: str) -> TADDataset:
    """The data set of a loader.

    Raises:
        ConfigError: If there is none, or it does not serve windows of videos.
    """
    from mmaction.registry import DATASETS

    from mmtad_decomp.datasets import TADDataset
    from mmtad_decomp.utils import ConfigError

    settings = config.get(f'{loader}_dataloader')
    if settings is None:
        raise ConfigError(f'{config.filename}: has no `{loader}_dataloader`; choose another one')
    dataset = DATASETS.build(settings.dataset)
    if not isinstance(dataset, TADDataset):
        raise ConfigError(
            f'{config.filename}: `{loader}_dataloader.dataset` is a {type(dataset).__name__}; '
            'windows are drawn of a TADDataset'
        )
    return dataset


def build_detector(config: Config) -> TADDetector | None:
    """The plain detector of a config, if its head learns by points."""
    from mmaction.registry import MODELS

    from mmtad_decomp.models.detectors import TADDetector
    from mmtad_decomp.models.heads import PointHead

    model = config.model
    student = model.get('student', model)
    detector = MODELS.build(student.get('detector', student))
    has_points = isinstance(detector, TADDetector) and isinstance(detector.head, PointHead)
    return detector if has_points else None


def draw(dataset: TADDataset, index: int, detector: TADDetector | None, out: Path) -> str:
    """Draw one window; returns a line about it."""
    from mmtad_decomp.engine.hooks.model_fit_hook import can_be_learned
    from mmtad_decomp.visualization import draw_window, save_figure

    window = dataset.get_data_info(index)
    item = dataset[index]
    sample, inputs = item['data_samples'], item['inputs']
    grid = sample.time_grid
    begin, end = grid.edges(0, sample.num_steps)
    length = end - begin
    segments = sample.gt_instances.segments.numpy() - begin
    labels = sample.gt_instances.labels.numpy()
    learned = None
    if detector is not None and len(segments):
        kept = dict(segments=sample.gt_instances.segments.numpy(), time_grid=grid)
        learned = can_be_learned(detector, {**window, **kept})
    frames = []
    if 'frames' in inputs:
        clip = inputs['frames'].permute(0, 2, 3, 1).numpy()
        count = min(_KEY_FRAMES, len(clip))
        places = ((np.arange(count) + 0.5) * len(clip) / count).astype(int)
        times = (np.arange(count) + 0.5) * length / count
        frames = [(float(time), clip[place]) for time, place in zip(times, places)]
    sizes = ', '.join(f'{key} {"x".join(map(str, value.shape))}' for key, value in inputs.items())
    title = f'{sample.video_id} from {begin:.2f} s, {length:.2f} s long; {sizes}'
    figure = draw_window(
        segments, labels, dataset.metainfo['classes'], length, title, frames, learned
    )
    save_figure(figure, out)
    return f'{out}: {title}; {len(labels)} targets'


def browse(args: argparse.Namespace) -> int:
    """Draw; returns the exit code."""
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import ConfigError, check_config, demand_writable
    from tools._cli import import_modules
    from tools.config_overrides import override
    from tools.config_reading import read_config

    demand_config_file(args.config)
    if args.number < 1:
        raise ConfigError(f'--number must be at least 1, got {args.number}')
    demand_writable(Path(args.out_dir, 'window.png'), '--out-dir')
    config = read_config(args.config)
    override(config, args.cfg_options or ())
    check_config(config)
    import_modules(config)
    init_default_scope(config.get('default_scope', 'mmaction'))
    dataset = build_dataset(config, args.loader)
    detector = build_detector(config)
    random.seed(args.seed)
    np.random.seed(args.seed)
    print(dataset.census)
    chosen = sorted(random.sample(range(len(dataset)), min(args.number, len(dataset))))
    for index in chosen:
        print(draw(dataset, index, detector, Path(args.out_dir, f'{args.loader}_{index:05}.png')))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(lambda: browse(parse_args(argv)))


if __name__ == '__main__':
    sys.exit(main())
