"""JSON content of annotation files, and the classes that it names.

Tools load this module without the package, to check a config before torch is imported.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmtad_decomp.utils.json_keys import refuse_duplicates


def shorten(value: object, length: int = 80) -> str:
    """``repr`` of a value from a file, cut so that a message stays readable."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; a deep nesting
        return f'a {type(value).__name__}'
    return cut(text, length)


def cut(text: str, length: int = 80) -> str:
    """The beginning of a text from a file, so that a message stays readable."""
    return text if len(text) <= length else f'{text[:length]}…'


def list_some(names: Iterable[str], most: int = 10) -> str:
    """A list of the first names, and how many more there are, so that a message stays readable."""
    names = list(names)
    rest = len(names) - most
    shown = ', '.join(map(shorten, names[:most]))
    return f'[{shown}]' if rest <= 0 else f'[{shown}] and {rest} more'


def class_difference(first: Sequence[str], second: Sequence[str]) -> str:
    """How two lists of classes that a label is an index into differ; empty if they do not."""
    if len(first) != len(second):
        return f'{len(first)} classes and {len(second)}'
    for label, (one, other) in enumerate(zip(first, second)):
        if one != other:
            how = f'other classes, or another order: label {label} is {shorten(one)} and '
            return how + shorten(other)
    return ''


class AnnotationError(ValueError):
    """An annotation file is malformed; the message names file, field and fix."""


def as_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Names that a config lists; a string is one name, as a list of one without its comma is."""
    return (names,) if isinstance(names, str) else tuple(names)


def label_of(item: dict, fields: Sequence[str]) -> str | None:
    """Class name of an instance or detection: its fields, joined by commas.

    Args:
        item: JSON object.
        fields: Names of its fields, ``('label',)`` or such as ``('verb', 'noun')``. A field other
            than ``label`` may hold a whole number.

    Returns:
        The name; None where a field is missing or of another type.
    """
    parts = []
    for field_name in fields:
        value = item.get(field_name)
        if type(value) is int and field_name != 'label':
            value = str(value)
        if not isinstance(value, str):
            return None
        parts.append(value)
    return ','.join(parts)


def label_values(item: dict, fields: Sequence[str]) -> object:
    """What an item has in the fields of :func:`label_of`, for a message; a list if several."""
    values = [item.get(name) for name in fields]
    return values[0] if len(values) == 1 else values


def name_fields(fields: Sequence[str]) -> str:
    """Names of the fields of :func:`label_of`, for a message."""
    return ' and '.join(f'"{name}"' for name in fields)


def read_content(ann_file: str | Path) -> dict:
    """Read the JSON object of an annotation file.

    Raises:
        AnnotationError: If it is missing, no JSON, or has no ``database``.
    """
    try:
        text = Path(ann_file).read_text(encoding='utf-8-sig')
        content = json.loads(text, object_pairs_hook=refuse_duplicates)
    except KeyError as error:
        raise AnnotationError(
            f'annotation file {ann_file}: key {error} occurs twice in one object, so that one of '
            'the two would be lost; correct the file'
        ) from error
    except FileNotFoundError as error:
        raise AnnotationError(
            f"annotation file {ann_file} does not exist; set `ann_file`, or run the data set's "
            'script under tools/data/ first'
        ) from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            f'annotation file {ann_file} is not valid JSON ({error}); correct it, or make it again'
        ) from error
    except OSError as error:
        raise AnnotationError(
            f'annotation file {ann_file} cannot be read ({error}); correct `ann_file`'
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get('database'), dict):
        raise AnnotationError(
            f'annotation file {ann_file}: field "database" must be an object that maps video ids '
            'to videos (ActivityNet style); correct the file'
        )
    return content


def resolve_classes(
    content: dict,
    ann_file: str | Path,
    classes: Sequence[str] | None,
    ignored: set[str],
    fields: Sequence[str],
) -> tuple[str, ...]:
    """Names of the classes in the order of their labels.

    Args:
        content: Of the annotation file.
        ann_file: Its path, for messages.
        classes: Names that the config gives; None takes the file's ``classes``, else its sorted
            labels.
        ignored: Labels that are left out.
        fields: Fields of an instance that name its class.

    Raises:
        AnnotationError: If they are no list of different names.
    """
    if classes is None and tuple(fields) == ('label',):
        classes = content.get('classes')
    if classes is None:
        labels = {
            label_of(item, fields)
            for video in content['database'].values()
            if isinstance(video, dict) and isinstance(video.get('annotations'), list)
            for item in video['annotations']
            if isinstance(item, dict)
        }
        classes = sorted(label for label in labels - ignored if label is not None)
    if not isinstance(classes, (list, tuple)) or not all(isinstance(c, str) for c in classes):
        raise AnnotationError(
            f'{ann_file}: "classes" must be a list of names, got {shorten(classes)}; correct '
            'it in the file or in the config'
        )
    twice = sorted(name for name, count in Counter(classes).items() if count > 1)
    if twice:
        raise AnnotationError(
            f'{ann_file}: "classes" names {list_some(twice)} more than once; keep one of each'
        )
    return tuple(classes)
