"""Train a detector: ``python tools/train.py CONFIG``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.command_line import add_common_arguments, demand_config_file, run_main

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; the flags are those of MMAction2's tools."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint (or work directory) to resume from; without a value, the latest one in '
        'the work directory, if any',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16, or float16 with loss scaling on GPUs below sm_80',
    )
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate in training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size over all GPUs',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='another seed for every rank'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic algorithms only'
    )
    add_common_arguments(parser)
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply the flags of training to the config."""
    from mmtad_decomp.utils import ConfigError

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        use_mixed_precision(cfg)
    if args.resume is not None:
        resume(cfg, args.resume)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ConfigError(
                f'{cfg.filename}: --auto-scale-lr needs `auto_scale_lr.base_batch_size`, the '
                'batch size over all GPUs that the learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    randomness = dict(cfg.get('randomness') or dict(seed=None))
    if args.seed is not None:
        randomness['seed'] = args.seed
    if args.diff_rank_seed:
        randomness['diff_rank_seed'] = True
    if args.deterministic:
        randomness['deterministic'] = True
    cfg.randomness = randomness
    return cfg


def resume(cfg: Config, source: str) -> None:
    """Resume a training.

    The config's ``load_from`` counts where there is nothing to resume yet: a command that is
    started again by itself, with ``--resume`` from the first time on, begins with these weights.

    Args:
        cfg: Changed in place.
        source: Checkpoint or work directory, or ``'auto'`` for the config's work directory.
    """
    from mmtad_decomp.utils import latest_checkpoint, resolve_checkpoint

    if source != 'auto':
        cfg.resume, cfg.load_from = True, resolve_checkpoint(source)
    elif cfg.get('load_from') is None or latest_checkpoint(cfg.work_dir) is not None:
        cfg.resume, cfg.load_from = True, None


def use_mixed_precision(cfg: Config) -> None:
    """Train in a 16-bit type: the one that the config names, or this machine's."""
    import torch
    from mmengine.device import get_device

    from mmtad_decomp.utils import half_dtype

    wrapper = cfg.optim_wrapper
    wrapper.type = 'mmaction.AutocastOptimWrapper'
    if wrapper.get('dtype') not in ('bfloat16', 'float16'):
        wrapper.dtype = str(half_dtype(torch.device(get_device()))).removeprefix('torch.')


def main(argv: list[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    demand_config_file(args.config)
    from tools.config_reading import read_checked_config  # late: takes a second

    cfg = read_checked_config(args, ['train'] if args.no_validate else ['train', 'val'])
    from tools._cli import build_runner, explained, lock_work_dir, set_up  # late: takes seconds

    cfg = merge_args(set_up(cfg, args), args)
    with explained(cfg), lock_work_dir(cfg):
        runner = build_runner(cfg)
        runner.train()


if __name__ == '__main__':
    sys.exit(run_main(main))
