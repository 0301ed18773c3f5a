"""What a checkpoint was trained to read, compared with what would be fed to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from mmaction.registry import MODELS
from mmengine.logging import print_log

from mmtad_decomp.utils import ConfigError, embedded_config


def check_trained_input(
    checkpoint: Mapping, model: Any, source: str, place: str, advice: str
) -> None:
    """Compare the input of a checkpoint's training with that of a model.

    Detectors on RGB and on the temporal gradient have the same weights, so the wrong ones fit. A
    checkpoint without a readable config, or a model without a
    :class:`~.tad_data_preprocessor.TADDataPreprocessor`, passes. Where only options differ, such
    as the scale, a warning is logged.

    Args:
        checkpoint: Content of the file.
        model: Config of the model that is to have its weights; a distiller's student counts.
        source: What the checkpoint is, for the message.
        place: Where ``model`` is configured, for the message.
        advice: What to do, for the message.

    Raises:
        ValueError: If the types of the inputs differ.
    """
    theirs, ours = _input_of(_trained_model(checkpoint, source)), _input_of(model)
    if theirs is None or ours is None or theirs == ours:
        return
    (trained, had), (wanted, have) = theirs, ours
    if trained != wanted:
        raise ValueError(
            f'{source} was trained with {trained}, {place} asks for {wanted}: {advice}'
        )
    keys = [key for key in {**had, **have} if had.get(key) != have.get(key)]
    then, now = (', '.join(f'{key}={o.get(key)}' for key in keys) for o in (had, have))
    print_log(
        f'{source} was trained with {trained}({then}), {place} asks for {now}: {advice}',
        logger='current',
        level=logging.WARNING,
    )


def _trained_model(checkpoint: Mapping, source: str) -> Any:
    """``model`` of the config in a checkpoint; None if there is none that can be read."""
    try:
        config = embedded_config(checkpoint, source)
    except ConfigError:
        return None
    return None if config is None else config.get('model')


def _input_of(model: Any) -> tuple[str, dict[str, Any]] | None:
    """Class name of a model's input and its options, with their defaults; None if it has none."""
    for part in ('student', 'detector'):
        model = model.get(part, model) if isinstance(model, Mapping) else None
    modality = ((model or {}).get('data_preprocessor') or {}).get('modality')
    if not modality:
        return None
    options = dict(modality)
    kind = options.pop('type')
    options.pop('_scope_', None)  # of MMEngine, where the config comes from another package
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        return kind, options
    options = {k: p.default for k, p in inspect.signature(found).parameters.items()} | options
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    return found.__name__, plain
