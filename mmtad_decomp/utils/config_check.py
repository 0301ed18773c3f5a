"""Finding mistakes in a config before anything is built."""

from __future__ import annotations

import difflib
import inspect

from mmengine.config import Config
from mmengine.runner import Runner

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_READ_ELSEWHERE = ('runner_type', 'custom_imports', 'auto_scale_lr', 'compile')


class ConfigError(ValueError):
    """A config is wrong; the message names file, key and mend."""


def runner_keys() -> set[str]:
    """Top-level keys that MMEngine's Runner reads."""
    parameters = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return parameters | set(_READ_ELSEWHERE)


def check_config(cfg: Config) -> None:
    """Find misspelt top-level keys and missing parts.

    A config may hold variables of its own (``num_classes``), which the Runner ignores; so a key is
    taken for a mistake if it is nearly the name of one that the Runner reads and the rightly
    spelt key is not there.

    Raises:
        ConfigError: If a key is misspelt, or the model is missing.
    """
    known = runner_keys()
    name = cfg.filename or 'config'
    for key in cfg:
        if key in known:
            continue
        close = difflib.get_close_matches(key, known - set(cfg), n=1, cutoff=0.85)
        if close:
            raise ConfigError(f'{name}: unknown key `{key}`; did you mean `{close[0]}`?')
    if 'model' not in cfg:
        raise ConfigError(f'{name}: key `model` is missing; is this a base config?')


def explain_build_error(cfg: Config, error: TypeError) -> ConfigError:
    """Turn a constructor's complaint about an argument into one about the config.

    Args:
        cfg: The config that was built from.
        error: What MMEngine's registry raised: it names the class and the argument.
    """
    return ConfigError(
        f'{cfg.filename or "config"}: {error}. Correct or remove that key in the config of the '
        'class named above'
    )
