"""Checking pretrained weights before MMEngine loads them, in part or not at all without a word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

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


def check_fit(
    path: str, state: Mapping[str, Tensor], module: nn.Module, names: Iterable[str] = ()
) -> None:
    """Check that a checkpoint holds every weight of a module in its shape.

    Args:
        path: Where it comes from, for the error.
        state: Its weights by the module's names.
        module: The module.
        names: Those of all weights in the file, of which ``state`` may be a part.

    Raises:
        ValueError: If it does not; the error names the prefix under which ``names`` would.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith('num_batches_tracked')]
    misfits = [
        key for key, value in own.items() if key in state and state[key].shape != value.shape
    ]
    for problem, keys in (('not in it', missing), ('of another shape', misfits)):
        if not keys:
            continue
        advice = (
            "Name a recognizer's checkpoint with the same backbone (same depth, same shift), or "
            f'convert yours ({GUIDE})'
        )
        if missing and (prefixes := _fitting_prefixes(names, own)):
            choice = ' or '.join(f"'{prefix}'" for prefix in prefixes)
            advice = (
                "It is a detector's checkpoint, in which they have a prefix: set "
                f'`backbone.init_cfg.prefix` to {choice}'
            )
        raise ValueError(
            f'pretrained weights {path} do not fit the backbone: {len(keys)} of {len(own)} '
            f'entries are {problem}, such as {keys[0]}. {advice}'
        )


def _fitting_prefixes(names: Iterable[str], own: Iterable[str]) -> list[str]:
    """Prefixes, but the empty one, with which all of a module's own names are among ``names``."""
    names = set(names)
    own = [key for key in own if not key.endswith('num_batches_tracked')]
    found = {name.removesuffix(own[0]) for name in names if name.endswith(f'.{own[0]}')}
    return sorted(start for start in found if names.issuperset(start + key for key in own))
