"""From a name, a config, a checkpoint or a work directory to a model that can be run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer

from mmtad_decomp.annotations.content import class_difference
from mmtad_decomp.compat.checkpoint_loaders import load_from_http
from mmtad_decomp.utils import (
    embedded_config,
    latest_checkpoint,
    load_checkpoint,
    resolve_checkpoint,
)

from .publishing import demand_trained_network, published_config, published_state

PACKAGE = 'mmtad_decomp'
_OWN_CONFIG = 'name the checkpoint or its work directory as the model, which brings its own config'


class ModelError(ValueError):
    """A model cannot be used for inference; the message says why and how to fix it."""


def project_folder() -> Path:
    """The folder of model-index.yml: the project's own, or its copy in an installed wheel."""
    return Path(BaseInferencer._get_repo_or_mim_dir(PACKAGE))


@dataclass(frozen=True)
class ModelSource:
    """A model without its teacher and its training aids.

    Attributes:
        name: How the user named it.
        config: Config that tests it.
        state: Its weights.
        weights: Where they come from.
        classes: Class names in label order.
    """

    name: str
    config: Config
    state: dict[str, torch.Tensor]
    weights: str
    classes: tuple[str, ...]


def load_model_source(
    model: str | Path | Config | dict, weights: str | Path | None = None
) -> ModelSource:
    """Find config, weights and classes of a model.

    Args:
        model: A name in ``model-index.yml``; a config file; a published model by its ``.pth``
            file or by both files' common name without ending; a training's checkpoint or work
            directory; or a config.
        weights: Checkpoint or work directory, where ``model`` does not lead to one. A config file
            leads to the ``.pth`` file of its name beside it, else to
            ``work_dirs/<folder>/<name>``, where training puts it.

    Raises:
        ModelError: If there is no such model, it has no weights or no config, or the classes or
            the input of checkpoint and config differ.
        FileNotFoundError: If a checkpoint does not exist.
        CheckpointError: If it cannot be read, or was trained with another network than that of
            the config.
    """
    name = 'config' if isinstance(model, dict) else str(model)
    config, found = _locate(model)
    weights = found if weights is None else resolve_checkpoint(weights)
    if weights is None:
        raise ModelError(
            f'model {name} has no weights: name a checkpoint or work directory as `weights` '
            f'(--weights), or train it first'
        )
    remote = '://' in str(weights)
    content = load_from_http(weights, 'cpu') if remote else load_checkpoint(weights)
    meta = content.get('meta') or {}
    given = config is not None
    if config is None:
        config = _embedded_config(content, str(weights))
    classes = _classes(config, meta, str(weights))
    _check_input(content, config, str(weights))
    if given:
        demand_trained_network(config, content, weights, _OWN_CONFIG)
    state = content.get('state_dict', content)
    distilled = any(key.removeprefix('module.').startswith('student.') for key in state)
    state = published_state(state, distilled)
    return ModelSource(name, published_config(config), state, str(weights), classes)


def _locate(model: str | Path | Config | dict) -> tuple[Config | None, str | None]:
    """Config and weights; None for a config that is in the checkpoint, and for no weights."""
    if isinstance(model, Config):
        return model, None
    if isinstance(model, dict):
        return Config(model), None
    path = Path(model)
    if path.suffix == '.py' and path.is_file():
        return Config.fromfile(path), _weights_of(path)
    if path.suffix in ('.pth', '.pt') and path.is_file():
        return _sibling_config(path), str(path)
    published = Path(f'{model}.pth')
    if published.is_file():
        return _sibling_config(published), str(published)
    if path.is_dir():
        return None, resolve_checkpoint(path)
    if path.suffix in ('.py', '.pth', '.pt'):
        raise ModelError(f'model {model} does not exist; name a config, a checkpoint or a model')
    return _named(str(model))


def _weights_of(config: Path) -> str | None:
    published = config.with_suffix('.pth')
    if published.is_file():
        return str(published)
    work_dir = Path('work_dirs', config.resolve().parent.name, config.stem)
    return latest_checkpoint(work_dir)


def _sibling_config(weights: Path) -> Config | None:
    config = weights.with_suffix('.py')
    return Config.fromfile(config) if config.is_file() else None


def _named(name: str) -> tuple[Config, str | None]:
    """A model of model-index.yml, whose paths count from the folder of that file."""
    root = project_folder()
    models: dict[str, dict] = {}
    for entry in BaseInferencer._get_models_from_metafile(str(root)):
        aliases = entry.get('Alias') or []
        aliases = [aliases] if isinstance(aliases, str) else aliases
        models |= dict.fromkeys((text.lower() for text in (entry['Name'], *aliases)), entry)
    if name.lower() not in models:
        close = difflib.get_close_matches(name.lower(), models, n=3)
        advice = f'; did you mean {" or ".join(close)}?' if close else ''
        raise ModelError(
            f'model {name} is neither a file nor a work directory nor one of the {len(models)} '
            f'names of model-index.yml{advice}'
        )
    entry = models[name.lower()]
    config = root / entry['Config']
    if entry.get('Weights') is None:
        return Config.fromfile(config), _weights_of(config)
    weights = entry['Weights']
    return Config.fromfile(config), weights if '://' in weights else str(root / weights)


def _embedded_config(content: dict, weights: str) -> Config:
    config = embedded_config(content, f'checkpoint {weights}')
    if config is None:
        raise ModelError(
            f'checkpoint {weights} does not hold its config; name the config as model and the '
            'checkpoint as `weights` (--weights)'
        )
    return config


def _check_input(content: dict, config: Config, weights: str) -> None:
    from mmtad_decomp.models.data_preprocessors import check_trained_input

    advice = 'give the config that it was trained with'
    try:
        check_trained_input(content, config.get('model'), weights, 'the config', advice)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _classes(config: Config, meta: dict, weights: str) -> tuple[str, ...]:
    trained = (meta.get('dataset_meta') or {}).get('classes') or meta.get('classes')
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    stated = (dataset.get('metainfo') or {}).get('classes') or config.get('classes')
    how = class_difference(trained, stated) if trained and stated else ''
    if how:
        raise ModelError(
            f'checkpoint {weights} and the config have {how}; give the config that it was trained '
            'with'
        )
    classes = trained or stated
    if not classes:
        raise ModelError(
            f'neither checkpoint {weights} nor its config names the classes; set '
            '`test_dataloader.dataset.metainfo=dict(classes=...)` in the config'
        )
    return tuple(classes)
