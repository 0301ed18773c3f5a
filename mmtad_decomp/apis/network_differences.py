"""Where two configs describe networks that compute different outputs from the same weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmaction.registry import MODELS

from mmtad_decomp.utils import class_name

_TRAINING = {
    'assigner',
    'best_iou',
    'contrast_background',
    'freeze_norm',
    'frozen_stages',
    'init_cfg',
    'init_std',
    'iou_power',
    'label_smoothing',
    'layer_scale',
    'norm_eval',
    'partial_bn',
    'positive_iou',
    'positive_node',
    'pretrained',
    'pretrained2d',
    'prior_prob',
    'refine_iou',
    'separate_heads',
    'stem_init',
    'target_generator',
    'train_cfg',
}
"""Initial weights, targets and losses; so are keys that begin with ``loss``, end with ``_weight``
(of a loss) or contain ``drop``."""
_EXECUTION = {'_scope_', 'channels_last', 'chunk_size', 'conv_cfg', 'non_blocking', 'with_cp'}
"""Other ways to the same outputs."""
_SELECTION = {'max_candidates', 'min_length', 'nms_pre', 'score_thr'}
"""Which outputs become detections."""
_UNKNOWN = object()


class Difference(NamedTuple):
    """A key with two values.

    Attributes:
        key: Dotted path.
        trained: Its value, or default, in the config of the training.
        given: Its value, or default, in the other config.
    """

    key: str
    trained: Any
    given: Any


def network_differences(trained: Mapping, given: Mapping, path: str) -> Iterator[Difference]:
    """Compare two configs of a model as far as they say what it computes at inference.

    A key that is absent from one has the default of the class that ``type`` names. Where that is
    not known, a key of ``given`` alone is taken to be newer than the training, and passes. A part
    of one config alone counts if it sets something else than the defaults of its own class.

    Args:
        trained: ``model`` of the training, or a part of it.
        given: That of the config that the weights are to be used with.
        path: Dotted path of both.
    """
    kinds = tuple(class_name(node.get('type')) for node in (trained, given))
    if None not in kinds and kinds[0] != kinds[1]:
        yield Difference(f'{path}.type', *kinds)
        return
    kind = given.get('type', trained.get('type'))
    for key in {**trained, **given}:
        if key == 'type' or _is_ignored(str(key)):
            continue
        default = _UNKNOWN if key in trained and key in given else _default(kind, str(key))
        then, now = trained.get(key, default), given.get(key, default)
        if default is None and isinstance(
            now, Mapping
        ):  # None may stand for a part's own defaults
            if any(network_differences(now, {}, path)):
                yield Difference(f'{path}.{key}', None, now)
        elif then is not _UNKNOWN:
            yield from _differences(then, now, f'{path}.{key}')


def _differences(then: Any, now: Any, path: str) -> Iterator[Difference]:
    if isinstance(then, (list, tuple)) and isinstance(now, (list, tuple)):
        if any(isinstance(item, Mapping) for item in then) and len(then) == len(now):
            then, now = dict(enumerate(then)), dict(enumerate(now))
        else:
            now = type(then)(now)
    if isinstance(then, Mapping):  # each key by itself, as a command line sets them
        yield from network_differences(then, now if isinstance(now, Mapping) else {}, path)
    elif then != now:
        yield Difference(path, then, None if now is _UNKNOWN else now)


def _is_ignored(key: str) -> bool:
    ignored = key in _TRAINING or key in _EXECUTION or key in _SELECTION
    return ignored or key.startswith('loss') or key.endswith('_weight') or 'drop' in key


def _default(kind: Any, key: str) -> Any:
    """Default of an argument of a class, or of the bases that it hands it on to."""
    target = MODELS.get(kind) if isinstance(kind, str) else kind
    for base in inspect.getmro(target) if inspect.isclass(target) else ():
        init = vars(base).get('__init__')
        parameter = None if init is None else inspect.signature(init).parameters.get(key)
        if parameter is not None:
            return _UNKNOWN if parameter.default is parameter.empty else parameter.default
    return _UNKNOWN
