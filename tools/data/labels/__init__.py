"""Labels that people made in other programs, as one list of actions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from . import activitynet, boris, csv_table, cvat, elan, label_studio, via
from .records import Label, LabelError, ReadOptions

__all__ = ['Label', 'LabelError', 'ReadOptions', 'read_labels']

_BY_ENDING: dict[str, Callable[[Path, ReadOptions], list[Label]]] = {
    '.boris': boris.read,
    '.csv': csv_table.read,
    '.eaf': elan.read,
    '.tsv': csv_table.read,
    '.txt': csv_table.read,
    '.xml': cvat.read,
}


def read_labels(path: str | Path, options: ReadOptions) -> list[Label]:
    """Read one file; its ending and its content tell the format.

    Args:
        path: ``.csv``, ``.tsv`` or ``.txt`` table (BORIS' aggregated events too), ELAN's ``.eaf``,
            CVAT's ``.xml``, BORIS' ``.boris`` project, or the ``.json`` of VIA 3, of Label Studio
            or in ActivityNet's style.
        options: What the file does not say itself.

    Raises:
        LabelError: If the file cannot be understood; the message names file, place and fix.
    """
    path = Path(path)
    if path.suffix.lower() == '.json':
        return _json_reader(path)(path, options)
    if path.suffix.lower() not in _BY_ENDING:
        endings = ', '.join([*_BY_ENDING, '.json'])
        raise LabelError(f'{path}: unknown ending; export the labels as one of {endings}')
    return _BY_ENDING[path.suffix.lower()](path, options)


def _json_reader(path: Path) -> Callable[[Path, ReadOptions], list[Label]]:
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise LabelError(f'{path} is not valid JSON ({error}); export it again') from error
    if isinstance(content, list):
        return label_studio.read
    if isinstance(content, dict) and {'metadata', 'file', 'attribute'} <= content.keys():
        return via.read
    if isinstance(content, dict) and 'observations' in content:
        return boris.read
    if isinstance(content, dict) and 'database' in content:
        return activitynet.read
    raise LabelError(
        f'{path}: no project of VIA 3, no export of Label Studio, and no "database" in '
        "ActivityNet's style; export it as one of them, or as a CSV table"
    )
