"""How tools that run a model read the config and build the Runner."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from mmtad_decomp.engine.concise_runner import ConciseRunner
from mmtad_decomp.utils import (
    ConfigError,
    WorkDirLock,
    allow_legacy_checkpoints,
    check_config,
    explain_build_error,
    keep_freed_memory,
)
from tools.config_overrides import override


def load_config(args: argparse.Namespace) -> Config:
    """Read the config, apply the common flags and check it.

    Raises:
        ConfigError: If the config, an override or the launcher is wrong.
    """
    check_launcher(args.launcher)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.legacy_checkpoint:
        allow_legacy_checkpoints()
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    override(cfg, args.cfg_options or ())
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


_SET_BY_LAUNCHER = {
    'pytorch': (
        'RANK',
        'torchrun sets; run `bash tools/dist_train.sh CONFIG GPUS`, or dist_test.sh',
    ),
    'slurm': ('SLURM_PROCID', 'srun sets; run `bash tools/slurm_train.sh`, or slurm_test.sh'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun sets; run this command by mpirun'),
}


def check_launcher(launcher: str) -> None:
    """Check that the launcher has launched this process.

    Raises:
        ConfigError: If the variable that it sets is absent.
    """
    variable, source = _SET_BY_LAUNCHER.get(launcher, (None, ''))
    if variable is not None and variable not in os.environ:
        raise ConfigError(
            f'--launcher {launcher}: the environment has no {variable}, which {source}, or leave '
            'the flag out for one process'
        )


def use_one_process_loaders(cfg: Config) -> None:
    """``num_workers=0`` loads in the main process: drop options that mean nothing then."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(key)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            loader.persistent_workers = False
            loader.pop('prefetch_factor', None)


def read_config(path: str) -> Config:
    """Read a config file.

    Raises:
        ConfigError: If the file, or one that it inherits from, cannot be read.
    """
    try:
        return Config.fromfile(path)
    except (OSError, ImportError):  # these name what is missing
        raise
    except Exception as error:  # a config is code
        raise ConfigError(
            f'{path}: the config cannot be read, {type(error).__name__}: {error}'
        ) from error


def distribute_over_cpus(cfg: Config) -> None:
    """Processes without GPUs talk over gloo, and their models have no device ids."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    wrapper = cfg.get('model_wrapper_cfg') or dict(type='MMDistributedDataParallel')
    cfg.model_wrapper_cfg = {**wrapper, 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, or the one that the config names, and set up the process for it."""
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else ConciseRunner.from_cfg(cfg)
    keep_freed_memory()
    return runner


def lock_work_dir(cfg: Config) -> contextlib.AbstractContextManager:
    """Keep other trainings out of the work directory; one of several processes does so for all.

    Raises:
        WorkDirInUseError: If another training uses it.
    """
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    first = cfg.launcher == 'none' or next((int(r) for r in ranks if r is not None), 0) == 0
    return WorkDirLock(cfg.work_dir) if first else contextlib.nullcontext()


@contextlib.contextmanager
def explained(cfg: Config) -> Iterator[None]:
    """Errors of building from the config name its file and key.

    The Runner builds data loaders and metrics only when it runs, so this goes around both.
    """
    try:
        yield
    except (TypeError, KeyError) as error:
        explanation = explain_build_error(cfg, error)
        if explanation is error:
            raise
        raise explanation from error
