"""What is left of a trained model for testing: no teacher, no training aids, no optimizer."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtad_decomp.models.detectors.branches import branch_neck
from mmtad_decomp.utils import (
    CheckpointError,
    ConfigError,
    atomic_write,
    check_config,
    class_name,
    demand_sources_kept,
    embedded_config,
    load_checkpoint,
    resolve_checkpoint,
)
from mmtad_decomp.version import __version__

from .network_differences import Difference, network_differences

KEPT_KEYS = (
    'custom_imports',
    'default_scope',
    'default_hooks',
    'env_cfg',
    'test_cfg',
    'test_dataloader',
    'test_evaluator',
    'vis_backends',
    'visualizer',
    'log_processor',
    'log_level',
    'randomness',
)
"""Top-level keys of the source config that testing needs."""

PUBLISHED_PARTS: dict[str, dict[str, str | None]] = {
    'joint': {'shared_head.': None, 'separate_head.': None},
    'appearance': {
        'neck.appearance.': 'neck.',
        'neck.motion.': None,
        'shared_head.': 'head.',
        'separate_head.': None,
        'fusion.': None,
        'head.': None,
    },
}
"""By branch, names under which parts of a decomposed detector are published; None: left out."""


def published_model(model: dict, branch: str = 'joint') -> dict:
    """Config of the detector that is left of a distiller's, for testing only.

    Args:
        model: ``model`` of the source config.
        branch: Of a decomposed detector, ``'joint'`` keeps both branches, the fusion and the
            joint head; ``'appearance'`` keeps the appearance branch with the shared head, which
            together are the plain detector.

    Returns:
        A new config: of the distiller its student; no training aids; no pretrained weights, which
        the checkpoint replaces.

    Raises:
        ConfigError: If there is no appearance branch with a head, and ``branch`` asks for it.
    """
    model = copy.deepcopy(dict(model))
    if _is_distiller(model):
        model = dict(model['student'])
    decomposed = class_name(model['type']) in ('DecomposedDetector', 'DecomposedLocalizer')
    if branch == 'appearance':
        if not decomposed or not model.get('shared_head', True):
            reason = 'was published without its shared head' if decomposed else 'has one branch'
            raise ConfigError(
                f'branch `appearance`: the {class_name(model["type"])} of `model` {reason}; give '
                'the config and the checkpoint of a decomposed training'
            )
        model = dict(model['detector'])
        model['neck'] = branch_neck(model)
    elif decomposed:
        model['shared_head'] = False
    return _without_pretrained(model)


def _without_pretrained(node: Any) -> Any:
    if isinstance(node, dict):
        node = {key: _without_pretrained(value) for key, value in node.items()}
        if node.get('pretrained') is not None:
            node.update(pretrained=None, pretrained2d=False)
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('checkpoint'):
            node['init_cfg'] = None
    elif isinstance(node, (list, tuple)):
        node = [_without_pretrained(value) for value in node]
    return node


def published_state(
    state: dict[str, torch.Tensor], distilled: bool, branch: str = 'joint'
) -> dict[str, torch.Tensor]:
    """Weights of the published model under its own names.

    Args:
        state: The source checkpoint's ``state_dict``.
        distilled: Whether it is a distiller's, whose student's names begin with ``student.``.
        branch: See :func:`published_model`.
    """
    prefix = 'student.' if distilled else ''
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    parts = PUBLISHED_PARTS[branch]
    published = {}
    for key, value in state.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        part = next((part for part in parts if name.startswith(part)), '')
        renamed = parts.get(part, part)
        if renamed is not None:
            published[renamed + name.removeprefix(part)] = value.clone()
    return published


def detector_state(
    source: Config, content: Mapping, branch: str = 'joint'
) -> dict[str, torch.Tensor]:
    """Weights of the published model, of the checkpoint that the training of a config wrote.

    Args:
        source: Config of the training.
        content: Content of its checkpoint.
        branch: See :func:`published_model`.
    """
    state = content.get('state_dict', content)
    return published_state(state, _is_distiller(source.model), branch)


def _is_distiller(model: Mapping) -> bool:
    return class_name(model['type']) == 'CrossModalDistiller'


def published_config(source: Config, branch: str = 'joint') -> Config:
    """Self-contained config that tests the published model.

    It averages no weights: where the training did, ``state_dict`` holds the average already.

    Args:
        source: Config of the training.
        branch: See :func:`published_model`.

    Raises:
        ConfigError: See there.
    """
    kept = {key: source[key] for key in KEPT_KEYS if source.get(key) is not None}
    if 'default_hooks' in kept:
        kept['default_hooks'] = {
            name: hook
            for name, hook in kept['default_hooks'].items()
            if not hook or class_name(hook['type']) != 'EMAHook'
        }
    model = published_model(source.model, branch)
    return Config(copy.deepcopy(dict(model=model, **kept)))


def demand_trained_network(
    config: Config, content: Mapping, checkpoint: str | Path, advice: str | None = None
) -> None:
    """Refuse a config whose network computes other outputs than the one that was trained.

    Args:
        config: See :func:`other_network`.
        content: See there.
        checkpoint: See there.
        advice: See there.

    Raises:
        CheckpointError: If they differ; it names the keys and the fix.
    """
    message = other_network(config, content, checkpoint, advice)
    if message:
        raise CheckpointError(message)


def other_network(
    config: Config, content: Mapping, checkpoint: str | Path, advice: str | None = None
) -> str:
    """Say where the network of a config computes other outputs than the one that was trained.

    A training with ``--cfg-options`` may have another network than its config file, and weights
    that fit both. A checkpoint that does not hold its config, or one that this version does not
    understand, passes.

    Args:
        config: The config that the weights are to be used with.
        content: Content of the checkpoint.
        checkpoint: Where it comes from, for the message.
        advice: What to do about a difference; None names the ``--cfg-options`` that a command
            line needs, where these can express it.

    Returns:
        A sentence that names the keys and the fix; empty if there is no difference.
    """
    try:
        trained = embedded_config(content, f'checkpoint {checkpoint}')
        if trained is None:
            return ''
        then = published_model(trained.model)
        check_config(Config(dict(model=then)))
    except (ConfigError, AttributeError, KeyError, TypeError):  # of another version, or foreign
        return ''
    path = 'model.student' if _is_distiller(config.model) else 'model'
    found = list(network_differences(then, published_model(config.model), path))
    if not found:
        return ''
    if advice is None:
        advice = _advice(found)
    differing = ', '.join(f'{key} was {then!r} and is {now!r}' for key, then, now in found)
    return (
        f'checkpoint {checkpoint} was trained with another network than that of '
        f'{config.filename or "the config"}: {differing}; {advice}'
    )


def _advice(found: Sequence[Difference]) -> str:
    advice = 'give the config that the training wrote into its work directory'
    if any(difference.key.endswith('.type') for difference in found):
        return advice
    pairs = (f'{key}={str(value).replace(" ", "")}' for key, value, _ in found)
    return f'add --cfg-options {" ".join(map(shlex.quote, pairs))}, or {advice}'


def build_published(
    config: Config, state: dict[str, torch.Tensor], checkpoint: str | Path
) -> torch.nn.Module:
    """Build the published model and load its weights.

    Args:
        config: Result of :func:`published_config`.
        state: Result of :func:`published_state`.
        checkpoint: Where the weights come from, for the error.

    Raises:
        CheckpointError: If they do not fit.
    """
    init_default_scope(config.get('default_scope', 'mmaction'))
    model = MODELS.build(config.model)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:400]
        raise CheckpointError(
            f'checkpoint {checkpoint} does not fit its config; give the config that it was '
            f'trained with ({reason})'
        ) from error
    return model


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices and kernels in float16, for half of the size; vectors stay as they are.

    Raises:
        ValueError: If a weight is beyond the range of float16.
    """
    half = {}
    for key, value in state.items():
        shrink = value.ndim > 1 and value.is_floating_point()
        half[key] = value.half() if shrink else value
        if not torch.isfinite(half[key]).all():
            raise ValueError(f'{key} does not fit into float16; publish it in float32')
    return half


def publish(
    source_config: str | Config,
    source_checkpoint: str,
    prefix: str,
    half: bool = False,
    branch: str = 'joint',
) -> tuple[Path, Path]:
    """Write ``prefix.pth`` and ``prefix.py``.

    The checkpoint holds the config and the classes too, so that it can be used alone.

    Args:
        source_config: Config of the training, or its file.
        source_checkpoint: Its checkpoint, or its work directory.
        prefix: Path of the published files without their endings.
        half: Store the weights in float16; they are computed with in float32 all the same.
        branch: See :func:`published_model`.

    Returns:
        Both files.

    Raises:
        ConfigError: If the config has no appearance branch, and ``branch`` asks for it.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If it cannot be read, does not fit the config, or was trained with another
            network.
        OutputPathError: If a published file would replace the config or the checkpoint.
        ValueError: If a weight is beyond the range of float16.
    """
    source = source_config
    if not isinstance(source, Config):
        source = Config.fromfile(source)
    path = resolve_checkpoint(source_checkpoint)
    weights, text = Path(f'{prefix}.pth'), Path(f'{prefix}.py')
    for target in (weights, text):
        demand_sources_kept(target, [path, *filter(None, [source.filename])])
    content = load_checkpoint(path)
    demand_trained_network(source, content, path)
    config = published_config(source, branch)
    state = detector_state(source, content, branch)
    build_published(config, state, path)
    dataset_meta = content.get('meta', {}).get('dataset_meta') or {}
    classes = list(dataset_meta.get('classes') or source.get('classes') or ())
    meta = dict(
        classes=classes,
        dataset_meta=dict(classes=classes),
        mmtad_decomp_version=__version__,
        source_config=Path(source.filename or '').name,
        cfg=config.pretty_text,
    )
    with atomic_write(weights) as file:
        torch.save(dict(meta=meta, state_dict=halved(state) if half else state), file)
    with atomic_write(text, 'w', encoding='utf-8') as file:
        file.write(config.pretty_text)
    return weights, text
