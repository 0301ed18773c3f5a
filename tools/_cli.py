"""How tools that run a model read the config and build the Runner."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmtad_decomp.utils import (
    ConfigError,
    allow_legacy_checkpoints,
    check_config,
    explain_build_error,
    keep_freed_memory,
    processor_name,
)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config, apply the common flags and check it."""
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
    except (SyntaxError, NameError, TypeError, KeyError) as error:
        raise ConfigError(
            f'{path}: the config cannot be read, {type(error).__name__}: {error}'
        ) from error


def override(cfg: Config, options: Sequence[str]) -> None:
    """Set ``key=value`` pairs of ``--cfg-options``.

    Raises:
        ConfigError: If one has no ``=``, or does not fit into the config.
    """
    for option in options:
        if not option.partition('=')[1] or option.startswith('='):
            raise ConfigError(f'--cfg-options {option}: write key=value')
    namespace = argparse.Namespace(cfg_options=None)
    DictAction([], 'cfg_options')(argparse.ArgumentParser(), namespace, options)
    for key, value in namespace.cfg_options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (TypeError, KeyError, IndexError, AssertionError) as error:
            raise ConfigError(
                f'{cfg.filename}: --cfg-options {key}={value} does not fit: {error}'
            ) from error


def distribute_over_cpus(cfg: Config) -> None:
    """Processes without GPUs talk over gloo, and their models have no device ids."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    wrapper = cfg.get('model_wrapper_cfg') or dict(type='MMDistributedDataParallel')
    cfg.model_wrapper_cfg = {**wrapper, 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, or the one that the config names, and set up the process for it."""
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    print_log(f'{torch.get_num_threads()} threads on {processor_name()}', logger='current')
    keep_freed_memory()
    return runner


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
