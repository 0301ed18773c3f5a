"""Publish a distilled detector: without teacher, shared head, adapters and optimizer.

Writes ``PREFIX.pth``, which holds weights and plain types only, and ``PREFIX.py``, a config that
tests it with the plain detector and needs no other file of configs. Predictions are those of the
distiller. A detector that was trained without a teacher passes through.

Example:
    python tools/model_converters/publish_student.py \
        configs/decomp/actionformer_tsm18_fir.py work_dirs/decomp/actionformer_tsm18_fir \
        work_dirs/published/tsm18_fir
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmtad_decomp
from mmtad_decomp.utils import CheckpointError, atomic_write, load_checkpoint, resolve_checkpoint

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


def published_model(model: dict) -> dict:
    """Config of the detector that is left of a distiller's, for testing only.

    Args:
        model: ``model`` of the source config.

    Returns:
        A new config: of the distiller its student; no shared head; no pretrained weights, which
        the checkpoint replaces.
    """
    model = copy.deepcopy(dict(model))
    if model['type'] == 'CrossModalDistiller':
        model = dict(model['student'])
    if model['type'] in ('DecomposedDetector', 'DecomposedLocalizer'):
        model['shared_head'] = False
    return _without_pretrained(model)


def _without_pretrained(node: object) -> object:
    if isinstance(node, dict):
        node = {key: _without_pretrained(value) for key, value in node.items()}
        if node.get('pretrained') is not None:
            node.update(pretrained=None, pretrained2d=False)
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('checkpoint'):
            node['init_cfg'] = None
    elif isinstance(node, (list, tuple)):
        node = [_without_pretrained(value) for value in node]
    return node


def published_state(state: dict[str, torch.Tensor], distilled: bool) -> dict[str, torch.Tensor]:
    """Weights of the published model under its own names.

    Args:
        state: The source checkpoint's ``state_dict``.
        distilled: Whether it is a distiller's, whose student's names begin with ``student.``.
    """
    prefix = 'student.' if distilled else ''
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    return {
        key.removeprefix(prefix): value.clone()
        for key, value in state.items()
        if key.startswith(prefix) and not key.removeprefix(prefix).startswith('shared_head.')
    }


def published_config(source: Config) -> Config:
    """Self-contained config that tests the published model.

    It averages no weights: where the training did, ``state_dict`` holds the average already.
    """
    kept = {key: source[key] for key in KEPT_KEYS if source.get(key) is not None}
    if 'default_hooks' in kept:
        hooks = kept['default_hooks'].items()
        kept['default_hooks'] = {k: v for k, v in hooks if not v or v['type'] != 'EMAHook'}
    model = published_model(source.model)
    return Config(copy.deepcopy(dict(model=model, **kept)))


def check_fit(config: Config, state: dict[str, torch.Tensor], checkpoint: str) -> None:
    """Build the published model and load its weights.

    Raises:
        CheckpointError: If they do not fit.
    """
    from mmaction.registry import MODELS

    init_default_scope(config.get('default_scope', 'mmaction'))
    try:
        MODELS.build(config.model).load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:400]
        raise CheckpointError(
            f'checkpoint {checkpoint} does not fit its config; give the config that it was '
            f'trained with ({reason})'
        ) from error


def publish(source_config: str, source_checkpoint: str, prefix: str) -> tuple[Path, Path]:
    """Write ``prefix.pth`` and ``prefix.py``.

    Args:
        source_config: Config of the training.
        source_checkpoint: Its checkpoint, or its work directory.
        prefix: Path of the published files without their endings.

    Returns:
        Both files.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If it cannot be read or does not fit the config.
    """
    source = Config.fromfile(source_config)
    path = resolve_checkpoint(source_checkpoint)
    content = load_checkpoint(path)
    distilled = source.model.type == 'CrossModalDistiller'
    state = published_state(content.get('state_dict', content), distilled)
    config = published_config(source)
    check_fit(config, state, path)
    dataset_meta = content.get('meta', {}).get('dataset_meta') or {}
    classes = dataset_meta.get('classes') or source.get('classes') or ()
    meta = dict(
        classes=list(classes),
        dataset_meta=dict(classes=list(classes)),
        mmtad_decomp_version=mmtad_decomp.__version__,
        source_config=Path(source_config).name,
    )
    weights, text = Path(f'{prefix}.pth'), Path(f'{prefix}.py')
    with atomic_write(weights) as file:
        torch.save(dict(meta=meta, state_dict=state), file)
    with atomic_write(text, 'w', encoding='utf-8') as file:
        file.write(config.pretty_text)
    return weights, text


def main(argv: list[str] | None = None) -> None:
    """Publish and print sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the training')
    parser.add_argument('checkpoint', help='its checkpoint file or work directory')
    parser.add_argument('prefix', help='path of the published files without their endings')
    args = parser.parse_args(argv)
    before = Path(resolve_checkpoint(args.checkpoint)).stat().st_size
    weights, text = publish(args.config, args.checkpoint, args.prefix)
    after = weights.stat().st_size
    print(
        f'{weights}: {after / 2**20:.1f} MiB (the training checkpoint: {before / 2**20:.1f} MiB)'
    )
    print(f'{text}: tests it with tools/test.py {text} {weights}')


if __name__ == '__main__':
    main()
