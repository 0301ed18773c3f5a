"""What tools/train.py and tools/test.py share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmtad_decomp.utils import (
    allow_legacy_checkpoints,
    check_config,
    explain_build_error,
    keep_freed_memory,
    processor_name,
)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of MMAction2's tools that training and testing have in common."""
    parser.add_argument('--work-dir', help='where logs, checkpoints and results go')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config: key=value, with dots between nested keys; lists '
        'as key="[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--legacy-checkpoint',
        action='store_true',
        help='read checkpoints that hold pickled objects; only for files you trust, since such a '
        'file can run code',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config, apply the common flags and check it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.legacy_checkpoint:
        allow_legacy_checkpoints()
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        path = Path(args.config)
        cfg.work_dir = str(Path('work_dirs', path.resolve().parent.name, path.stem))
    check_config(cfg)
    use_one_process_loaders(cfg)
    if args.launcher != 'none' and not torch.cuda.is_available():
        distribute_over_cpus(cfg)
    return cfg


def use_one_process_loaders(cfg: Config) -> None:
    """``num_workers=0`` loads in the main process: drop options that mean nothing then."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(key)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            loader.persistent_workers = False
            loader.pop('prefetch_factor', None)


def distribute_over_cpus(cfg: Config) -> None:
    """Processes without GPUs talk over gloo, and their models have no device ids."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    wrapper = cfg.get('model_wrapper_cfg') or dict(type='MMDistributedDataParallel')
    cfg.model_wrapper_cfg = {**wrapper, 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, or the one that the config names, and set up the process for it."""
    try:
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    except TypeError as error:
        raise explain_build_error(cfg, error) from error
    print_log(f'{torch.get_num_threads()} threads on {processor_name()}', logger='current')
    keep_freed_memory()
    return runner
