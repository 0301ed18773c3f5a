"""Checking pretrained weights before MMEngine loads them, in part or not at all without a word."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

GUIDE = 'docs/en/user_guides/backbones.md'


def read_state(path: str, prefix: str | None = None) -> dict[str, Tensor]:
    """Weights of a checkpoint below ``prefix``.

    Raises:
        FileNotFoundError: If it is a local file that does not exist.
    """
    if '://' not in path and not os.path.isfile(path):
        raise FileNotFoundError(
            f'pretrained weights {path} of the backbone do not exist: get them ({GUIDE} says '
            'how) or set `backbone.init_cfg=None` to train from scratch'
        )
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    start = '' if prefix is None else prefix.rstrip('.') + '.'
    return {
        key[len(start) :]: value
        for key, value in content.get('state_dict', content).items()
        if key.startswith(start)
    }


def stem_channels(path: str, state: dict[str, Tensor], keys: list[str]) -> int | None:
    """Input channels of the stems in a checkpoint; None where it does not hold them.

    Raises:
        ValueError: If its stems have different numbers of them.
    """
    found = {state[key].shape[1] for key in keys if key in state}
    if len(found) > 1:
        raise ValueError(
            f'pretrained weights {path}: the stems {keys} have {sorted(found)} input channels; '
            'they must have the same number'
        )
    return found.pop() if found else None


def check_fit(path: str, state: Mapping[str, Tensor], module: nn.Module) -> None:
    """Raise ``ValueError`` unless a checkpoint holds every weight of a module in its shape."""
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith('num_batches_tracked')]
    misfits = [
        key for key, value in own.items() if key in state and state[key].shape != value.shape
    ]
    for problem, names in (('not in it', missing), ('of another shape', misfits)):
        if names:
            raise ValueError(
                f'pretrained weights {path} do not fit the backbone: {len(names)} of '
                f"{len(own)} entries are {problem}, such as {names[0]}. Name a recognizer's "
                'checkpoint with the same backbone (same depth, same shift), or convert yours '
                f'({GUIDE})'
            )
