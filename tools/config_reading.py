"""Reading the config of a command line, and finding its mistakes before torch is imported."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from tools.config_overrides import override
from tools.light_parts import annotation_content, config_check, patches

_SET_BY_LAUNCHER = {
    'pytorch': (
        'RANK',
        'torchrun sets; run `bash tools/dist_train.sh CONFIG GPUS`, or dist_test.sh',
    ),
    'slurm': ('SLURM_PROCID', 'srun sets; run `bash tools/slurm_train.sh`, or slurm_test.sh'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun sets; run this command by mpirun'),
}


_METRICS = ('TADMetric', 'ProposalMetric')
"""Metrics whose ``ann_file`` is in ActivityNet's format."""


def read_checked_config(args: argparse.Namespace, phases: Sequence[str] = ()) -> Config:
    """Read the config, apply the common flags and check it.

    Args:
        args: The command line.
        phases: ``'train'``, ``'val'`` or ``'test'``: their annotation files are checked too.

    Raises:
        ConfigError: If the config, an override or the launcher is wrong.
        AnnotationError: If an annotation file is missing or malformed.
    """
    check_launcher(args.launcher)
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    override(cfg, args.cfg_options or ())
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        path = Path(args.config)
        cfg.work_dir = str(Path('work_dirs', path.resolve().parent.name, path.stem))
    config_check.check_config(cfg)
    use_one_process_loaders(cfg)
    # Phases share files: each is read once.
    read = functools.cache(annotation_content.read_content)
    for phase in phases:
        if cfg.get(f'{phase}_cfg') is not None:
            check_data(cfg, phase, read)
    return cfg


def frame_size(cfg: Config) -> tuple[int, int]:
    """Height and width to which a test crops frames; 224 where it does not."""
    return last_crop(test_dataset(cfg).get('pipeline') or ()) or (224, 224)


def last_crop(pipeline: Iterable[Mapping]) -> tuple[int, int] | None:
    """Height and width of the last crop of a pipeline; None if it has none."""
    found = None
    for step in pipeline:
        size = step.get('size', step.get('crop_size'))
        if str(config_check.class_name(step['type'])).endswith('Crop') and size is not None:
            found = (size, size) if isinstance(size, int) else tuple(size)
    return found


def test_dataset(cfg: Config) -> dict:
    """The data set that a config tests on; empty where it names none."""
    return (cfg.get('test_dataloader') or {}).get('dataset') or {}


def read_config(path: str) -> Config:
    """Read a config file; its ``custom_imports`` are left to :func:`tools._cli.import_modules`.

    Raises:
        ConfigError: If the file, or one that it inherits from, cannot be read.
    """
    patches.apply_to_configs()
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except (OSError, ImportError):  # these name what is missing
        raise
    except Exception as error:  # a config is code
        raise config_check.ConfigError(
            f'{path}: the config cannot be read, {type(error).__name__}: {error}'
        ) from error


def check_launcher(launcher: str) -> None:
    """Check that the launcher has launched this process.

    Raises:
        ConfigError: If the variable that it sets is absent.
    """
    variable, source = _SET_BY_LAUNCHER.get(launcher, (None, ''))
    if variable is not None and variable not in os.environ:
        raise config_check.ConfigError(
            f'--launcher {launcher}: the environment has no {variable}, which {source}, or leave '
            'the flag out for one process'
        )


def use_one_process_loaders(cfg: Config) -> None:
    """``num_workers=0`` loads in the main process: drop options that mean nothing then."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(key)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)


def check_data(cfg: Config, phase: str, read: Callable[[Path], dict]) -> None:
    """Read the annotation files of a phase, and compare their classes with those of the heads.

    Args:
        cfg: The config.
        phase: ``'train'``, ``'val'`` or ``'test'``.
        read: Reads an annotation file.

    Raises:
        AnnotationError: If a file is missing or malformed.
        ConfigError: If a head has another number of classes.
    """
    for _, metric in _parts(cfg, f'{phase}_evaluator', 'evaluation'):
        # Those of MMAction2's localizers read files of another format.
        own = config_check.class_name(metric['type']) in _METRICS
        if own and metric.get('ann_file') is not None:
            read(Path(metric['ann_file']))
    for _, data in _parts(cfg, f'{phase}_dataloader', 'datasets'):
        if data.get('ann_file') is None:
            continue
        file = Path(data.get('data_root') or '', data['ann_file'])
        classes = annotation_content.resolve_classes(
            read(file),
            file,
            (data.get('metainfo') or {}).get('classes'),
            set(annotation_content.as_names(data.get('ignore_labels') or ())),
            annotation_content.as_names(data.get('label_fields') or ('label',)),
        )
        for place, head in _parts(cfg, 'model', 'heads'):
            if isinstance(head.get('num_classes'), int) and 'teacher' not in place.split('.'):
                config_check.check_class_count(
                    f'{place}.num_classes', head['num_classes'], classes
                )


def _parts(cfg: Config, key: str, folder: str) -> Iterator[tuple[str, dict]]:
    """Settings below a key whose type is a class of a folder of the package, and their places."""
    registered = config_check.source_index().registered
    for place, node in config_check.typed_dicts(key, cfg.get(key)):
        for file in registered.get(str(config_check.class_name(node['type'])), ()):
            if {'mmtad_decomp', folder} <= set(file.parts):
                yield place, node
                break
