"""Configs of doubtful origin, such as those in checkpoints, read as data."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from .config_check import ConfigError

_PACKAGES = ('mmtad_decomp', 'mmaction', 'mmengine', 'mmcv', 'mmdet')
"""What such a config may import."""
_SCOPED = re.compile(rf'({"|".join(_PACKAGES)})\.[A-Z]\w*')
"""A class in the registry of one of these scopes."""
_ADVICE = 'give the config as a file that you have read'


def config_as_data(text: str, where: str) -> Config:
    """Read a resolved config, as checkpoints hold it, without running code of it.

    It consists of assignments of numbers, texts, lists and dicts (``dict(...)`` too). ``type`` may
    name registered classes and no path of Python, since MMEngine would call whatever is there, and
    ``custom_imports`` may name the OpenMMLab packages and this one.

    Args:
        text: Its Python text.
        where: What it is, for messages.

    Raises:
        ConfigError: If it holds anything else.
    """
    content: dict[str, Any] = {}
    try:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign):
                raise ValueError(f'line {statement.lineno} is no assignment')
            (target,) = statement.targets
            if not isinstance(target, ast.Name):
                raise ValueError(f'line {statement.lineno} assigns to more than a name')
            content[target.id] = _value(statement.value)
        for kind in _types(content):
            if '.' in kind and not _SCOPED.fullmatch(kind):
                raise ValueError(f'type {kind!r} is a path of Python')
        imports = (content.get('custom_imports') or {}).get('imports') or []
        for name in [imports] if isinstance(imports, str) else imports:
            if str(name).partition('.')[0] not in _PACKAGES:
                raise ValueError(f'custom_imports names {name!r}')
    except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f'{where} is not read, because it may run code ({error}); {_ADVICE}'
        ) from error
    import_modules_from_strings(list(imports), allow_failed_imports=True)
    return Config(content, cfg_text=text)


def embedded_config(checkpoint: Mapping, source: str) -> Config | None:
    """The config that a training or publishing put into its checkpoint; None if there is none.

    ``meta`` has that of the training that wrote the file, and the message hub the one that a
    resumed training began with.

    Args:
        checkpoint: Content of the file.
        source: What the checkpoint is, for messages.

    Raises:
        ConfigError: If it may run code.
    """
    for path in (('meta',), ('message_hub', 'runtime_info')):
        found: Any = checkpoint
        for key in (*path, 'cfg'):
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return config_as_data(found, f'the config in {source}')
    return None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(k): _value(v) for k, v in zip(node.keys, node.values) if k is not None}
    if _is_dict_call(node):
        named = {str(item.arg): _value(item.value) for item in node.keywords}
        return {key: value for part in node.args for key, value in _value(part).items()} | named
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return getattr(math, node.id)
    raise ValueError(f'line {node.lineno} holds more than data')


def _is_dict_call(node: ast.expr) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'dict'
        and all(isinstance(part, ast.Dict) for part in node.args)
        and all(item.arg for item in node.keywords)
    )


def _types(value: Any) -> Iterator[str]:
    """All values of keys ``type``, and of ``_scope_``, that are text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ('type', '_scope_', 'runner_type') and isinstance(item, str):
                yield item
            yield from _types(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _types(item)
