"""Whether values of a config are of the types that constructors ask for in their annotations."""

from __future__ import annotations

import ast

from mmtad_decomp.utils.source_index import source_index

_SEQUENCES = ('list', 'tuple', 'set', 'sequence', 'iterable', 'collection')
_MAPPINGS = ('dict', 'mapping', 'configdict', 'config', 'ordereddict')
_OBJECTS = ('Tensor', 'device', 'ndarray', 'Callable')
"""Not in the packages that the index reads."""


def fits(value: object, hint: ast.expr | None) -> bool:
    """Whether a value may be of an annotated type; what cannot be told may be.

    None fits always. Tuples stand for lists and the other way round, and dicts stand for
    objects, as they are built from them.

    Args:
        value: Value of a config: numbers, strings, lists, dicts.
        hint: The annotation.
    """
    if value is None or hint is None:
        return True
    if isinstance(hint, ast.Constant):  # a type in quotation marks, or None, which value is not
        return isinstance(hint.value, str) and fits(value, _parsed(hint.value))
    if isinstance(hint, ast.BinOp):
        return fits(value, hint.left) or fits(value, hint.right)
    if isinstance(hint, ast.Subscript):
        return _fits_generic(value, _name_of(hint.value), _parts_of(hint.slice))
    return _fits_name(value, _name_of(hint))


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode='eval').body
    except SyntaxError:
        return None


def _name_of(hint: ast.expr) -> str:
    return ast.unparse(hint).rpartition('.')[2]


def _parts_of(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _fits_generic(value: object, name: str, parts: list[ast.expr]) -> bool:
    """The same for a type with others in brackets."""
    if name in ('Optional', 'Union'):
        return any(fits(value, part) for part in parts)
    if name == 'Literal':
        return value in [part.value for part in parts if isinstance(part, ast.Constant)]
    if not _fits_name(value, name):
        return False
    if name.lower() in _MAPPINGS and isinstance(value, dict):
        return all(fits(item, parts[-1]) for item in value.values())
    if name.lower() in _SEQUENCES and isinstance(value, (list, tuple)):
        parts = [part for part in parts if _name_of(part) not in ('...', 'Ellipsis')]
        if len(parts) == 1:
            return all(fits(item, parts[0]) for item in value)
    return True


def _fits_name(value: object, name: str) -> bool:
    if name == 'float':
        return isinstance(value, (int, float))
    if name in ('int', 'bool'):  # bool is an int, and 0 and 1 stand for bools
        return isinstance(value, int)
    if name == 'str':
        return isinstance(value, str)
    if name.lower() in _MAPPINGS:
        return isinstance(value, dict) or not isinstance(value, (str, int, float, list, tuple))
    if name.lower() in _SEQUENCES:
        return not isinstance(value, (str, int, float, dict))
    if name in _OBJECTS or source_index().is_class(name):
        return not isinstance(value, (str, int, float, list, tuple))
    return fits(value, source_index().alias(name))
