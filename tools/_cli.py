"""How tools that run a model set up the process and build the Runner."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from mmtad_decomp.engine.concise_runner import ConciseRunner
from mmtad_decomp.engine.hooks import StrictLoadingHook
from mmtad_decomp.utils import (
    WorkDirLock,
    allow_legacy_checkpoints,
    check_device,
    class_name,
    explain_build_error,
    keep_freed_memory,
)
from tools.config_reading import read_checked_config
from tools.interruption import end_at_once


def load_config(args: argparse.Namespace, phases: Sequence[str] = ()) -> Config:
    """:func:`~tools.config_reading.read_checked_config` and :func:`set_up` in one."""
    return set_up(read_checked_config(args, phases), args)


def set_up(cfg: Config, args: argparse.Namespace) -> Config:
    """Prepare the process for a config that has been read.

    Raises:
        ConfigError: If the config asks for a device that is not there.
        ImportError: If a module of ``custom_imports`` cannot be imported.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.legacy_checkpoint:
        allow_legacy_checkpoints()
    import_modules(cfg)
    check_device(cfg)
    if args.launcher != 'none' and not torch.cuda.is_available():
        distribute_over_cpus(cfg)
    return cfg


def import_modules(cfg: Config) -> None:
    """Import the ``custom_imports`` of a config.

    Raises:
        ImportError: If one cannot be imported.
    """
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)


def distribute_over_cpus(cfg: Config) -> None:
    """Processes without GPUs talk over gloo, and their models have no device ids."""
    cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    kind = wrapper.setdefault('type', 'MMDistributedDataParallel')
    if class_name(kind) == 'MMDistributedDataParallel':
        wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, or the one that the config names, and set up the process for it.

    It refuses checkpoints that do not fit, also where the config lacks the
    :class:`~mmtad_decomp.engine.hooks.StrictLoadingHook`, as those over MMAction2's do. SIGTERM
    ends the process at once: while it waits for others it could not take note of it.
    """
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else ConciseRunner.from_cfg(cfg)
    if not any(isinstance(hook, StrictLoadingHook) for hook in runner.hooks):
        runner.register_hook(StrictLoadingHook())
    keep_freed_memory()
    end_at_once()
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
