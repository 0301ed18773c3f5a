"""Settings of the command line on top of a config file."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config, DictAction

from tools.light_parts import config_check

ConfigError = config_check.ConfigError
paths_of, runner_keys = config_check.paths_of, config_check.runner_keys

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_DATA_KEYS = (*_LOADERS, 'val_evaluator', 'test_evaluator')
_ADVICE = {
    'data_prefix': 'set it below the `dataset` of each data loader',
    'device': 'the GPU is used if there is one; CUDA_VISIBLE_DEVICES= (empty) hides it',
    'seed': 'use --seed, or set `randomness.seed`',
}


def override(cfg: Config, options: Sequence[str]) -> None:
    """Set ``key=value`` pairs of ``--cfg-options``, see :func:`set_options`.

    Raises:
        ConfigError: If a pair has no ``=``, does not fit into the config, or sets what nothing
            reads.
    """
    set_options(cfg, parse_pairs('--cfg-options', options))


def set_options(cfg: Config, values: Mapping[str, object], source: str = '--cfg-options') -> None:
    """Set values of a config by dotted key.

    ``data_root`` moves training, validation and test to another folder, see :func:`move_data`,
    before the others are set.

    Args:
        cfg: The config; changed in place.
        values: Values by dotted key.
        source: Where they come from, for messages.

    Raises:
        ConfigError: If a value does not fit into the config, or is of what nothing reads.
    """
    values = dict(values)
    if 'data_root' in values:
        move_data(cfg, str(values.pop('data_root')), source)
    for key, value in values.items():
        if key.partition('.')[0] not in runner_keys():
            raise ConfigError(_says_nothing(cfg, key, value, source))
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, TypeError, KeyError, IndexError, AssertionError) as error:
            raise ConfigError(
                f'{cfg.filename}: {source} {key}={value} does not fit: {error}'
            ) from error


def parse_pairs(flag: str, pairs: Sequence[str]) -> dict[str, object]:
    """The ``key=value`` pairs of a flag, values as MMEngine reads them.

    Raises:
        ConfigError: If a pair has no ``=``.
    """
    for pair in pairs:
        if not pair.partition('=')[1] or pair.startswith('='):
            raise ConfigError(f'{flag} {pair}: write key=value')
    namespace = argparse.Namespace(pairs=None)
    DictAction([], 'pairs')(argparse.ArgumentParser(), namespace, pairs)
    return dict(namespace.pairs)


def move_data(cfg: Config, folder: str, source: str = '--cfg-options') -> None:
    """Let data loaders and evaluators read another folder in place of the config's ``data_root``.

    Every path at or below the old folder is moved: data, annotation files, and what evaluators
    read.

    Args:
        cfg: The config; changed in place.
        folder: The new folder.
        source: Where it comes from, for messages.

    Raises:
        ConfigError: If there is no such folder, or the config names none to replace.
    """
    old = cfg.get('data_root') or _root_of_data_sets(cfg)
    if not old:
        raise ConfigError(
            f'{cfg.filename}: {source} data_root={folder}: the config has no `data_root` to '
            'replace; set the paths of each `dataset` and `evaluator`'
        )
    if not Path(folder).is_dir():
        raise ConfigError(f'{source} data_root={folder}: there is no such folder')
    for key in _DATA_KEYS:
        if cfg.get(key) is not None:
            cfg[key] = _moved(cfg[key], str(old).rstrip('/'), folder.rstrip('/'))
    cfg.data_root = folder


def _root_of_data_sets(cfg: Config) -> str | None:
    """The ``data_root`` of the first data set that has one."""
    data_sets = ((cfg.get(key) or {}).get('dataset') or {} for key in _LOADERS)
    return next((data['data_root'] for data in data_sets if data.get('data_root')), None)


def _moved(node: object, old: str, new: str) -> object:
    """The same settings with every path at or below ``old`` at or below ``new``."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _moved(value, old, new)
        return node
    if isinstance(node, (list, tuple)):
        return type(node)(_moved(value, old, new) for value in node)
    if isinstance(node, str) and (node == old or node.startswith(f'{old}/')):
        return new + node[len(old) :]
    return node


def _says_nothing(cfg: Config, key: str, value: object, source: str) -> str:
    """Why an override changes nothing, and what would."""
    first, _, rest = key.partition('.')
    close = difflib.get_close_matches(first, runner_keys(), n=1, cutoff=0.8)
    places = [
        path
        for path in paths_of({k: v for k, v in cfg.to_dict().items() if k in runner_keys()})
        if path.rpartition('.')[2] == key
    ]
    if first in _ADVICE:
        advice = _ADVICE[first]
    elif close:
        advice = f'did you mean `{".".join([close[0], rest]) if rest else close[0]}`?'
    elif places:
        advice = f'set {" and ".join(f"`{path}`" for path in places[:6])}'
        if key in cfg:  # a variable of the config
            advice += f', or edit `{key}` in the config file, which copies it there'
    else:
        advice = 'set a key below `model`, a data loader, an evaluator or another part of the run'
    return (
        f'{cfg.filename}: {source} {key}={value} would change nothing, since nothing reads '
        f'`{first}`; {advice}'
    )
