"""Nested values in types that ``torch.load(weights_only=True)`` reads, and back."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_TAG = '__mmtad_type__'
_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.Size, torch.dtype, torch.device)


def _array(value: np.ndarray) -> torch.Tensor | list:
    try:
        return torch.from_numpy(np.ascontiguousarray(value)).clone()
    except TypeError:
        return value.tolist()


def _plain_dict(value: dict, where: str, dropped: list[str] | None) -> dict:
    kind = type(value) if type(value) in (OrderedDict, Counter) else dict
    result = kind()
    for key, item in value.items():
        at = f'{where}[{key!r}]'
        try:
            result[to_plain(key, at)] = to_plain(item, at, dropped)
        except TypeError:
            if dropped is None:
                raise
            dropped.append(at)
    if kind is OrderedDict:
        # A module's state_dict carries its version metadata as an attribute.
        metadata: Any = to_plain(dict(value.__dict__), where, dropped)
        result.__dict__.update(metadata)
    return result


def _plain_items(value: Iterable, where: str, dropped: list[str] | None) -> list:
    return [to_plain(item, f'{where}[{i}]', dropped) for i, item in enumerate(value)]


def to_plain(value: object, where: str = 'value', dropped: list[str] | None = None) -> object:
    """Convert a nested value to plain types.

    Tensors stay as they are; arrays and MMEngine's history buffers become tagged dicts that
    :func:`from_plain` turns back; NumPy scalars, paths and subclasses of built-in types become
    what they stand for.

    Args:
        value: Any nesting of dicts, lists, tuples and sets.
        where: Name of the value, for the error.
        dropped: If given, dict entries that cannot be converted are left out and their places are
            appended here.

    Returns:
        A new nesting that shares the tensors.

    Raises:
        TypeError: If something cannot be converted (and ``dropped`` is None).
    """
    if type(value) in _ATOMS or type(value) in (torch.Tensor, torch.nn.Parameter):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor)
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        return {
            _TAG: 'HistoryBuffer',
            'log_history': _array(log),
            'count_history': _array(count),
            'max_length': value.max_length,
        }
    if isinstance(value, np.generic):
        return to_plain(value.item(), where, dropped)
    if isinstance(value, np.ndarray):
        data = _array(value)
        return {_TAG: 'ndarray', 'data': to_plain(data, where), 'dtype': value.dtype.str}
    if isinstance(value, dict):
        return _plain_dict(value, where, dropped)
    if isinstance(value, (list, deque)):
        return _plain_items(value, where, dropped)
    if isinstance(value, tuple):
        return tuple(_plain_items(value, where, dropped))
    if isinstance(value, (set, frozenset)):
        return set(_plain_items(value, where, dropped))
    if isinstance(value, (str, PurePath)):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return complex(value)
    raise TypeError(
        f'{where} is of type {type(value).__module__}.{type(value).__qualname__}, which a '
        'checkpoint cannot hold; store tensors, arrays and plain Python types'
    )


def _untag(value: dict) -> object:
    kind = value[_TAG]
    if kind == 'ndarray':
        return np.array(value['data'], dtype=value['dtype'])
    if kind == 'HistoryBuffer':
        log, count = (np.array(value[name]) for name in ('log_history', 'count_history'))
        return HistoryBuffer(log, count, value['max_length'])
    raise ValueError(f'checkpoint has an unknown tagged type {kind!r}; is it of a newer version?')


def from_plain(value: object) -> object:
    """Undo :func:`to_plain`: dicts and lists are changed in place.

    Returns:
        ``value``, or what its tag stands for.

    Raises:
        ValueError: If a tag is unknown.
    """
    if isinstance(value, dict):
        if _TAG in value:
            return _untag(value)
        for key, item in value.items():
            value[key] = from_plain(item)
    elif isinstance(value, list):
        value[:] = [from_plain(item) for item in value]
    elif type(value) is tuple:
        return tuple(from_plain(item) for item in value)
    return value
