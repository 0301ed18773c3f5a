"""Projects of the VGG Image Annotator for video (VIA 3)."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

from .records import Label, LabelError, ReadOptions, class_name, number

_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_CHECKBOX = 2
"""Type of an attribute of which several options may be ticked: their keys, with commas."""


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read the temporal segments of a project: entries with two times and no region.

    Raises:
        LabelError: If an attribute is missing, or an entry leads to no video.
    """
    content = json.loads(path.read_text(encoding='utf-8-sig'))
    attributes = {
        key: value
        for key, value in content['attribute'].items()
        if value.get('anchor_id') == _SEGMENT_ANCHOR
        and (not options.layers or value.get('aname') in options.layers)
    }
    if not attributes:
        names = sorted(str(a.get('aname')) for a in content['attribute'].values())
        raise LabelError(
            f'{path}: no attribute of temporal segments'
            f'{" called " + ", ".join(options.layers) if options.layers else ""}; --layers takes '
            f'some of {names}'
        )
    labels = []
    for key, item in content['metadata'].items():
        where = f'{path}, metadata {key}'
        times = item.get('z') or []
        if len(times) != 2 or item.get('xy'):
            continue
        start, end = (number(time, where) for time in times)
        video = _video(content, item, where)
        for attribute, value in (item.get('av') or {}).items():
            if attribute in attributes:
                for name in _chosen(attributes[attribute], value):
                    labels.append(Label(video, start, end, class_name(name, where), where))
    return labels


def _chosen(attribute: dict, value: object) -> list[object]:
    """Names of the options that a value stands for; free text stands for itself."""
    options = attribute.get('options') or {}
    several = attribute.get('type') == _CHECKBOX and isinstance(value, str)
    keys = [key for key in str(value).split(',') if key] if several else [value]
    return [options.get(key, key) for key in keys]


def _video(content: dict, item: dict, where: str) -> str:
    """Name of the file that an entry's view shows."""
    view = (content.get('view') or {}).get(str(item.get('vid'))) or {}
    files = [content['file'].get(str(number)) for number in view.get('fid_list', [])]
    if not files or files[0] is None:
        raise LabelError(
            f'{where}: its view {item.get("vid")!r} has no file; save the project again'
        )
    return unquote(str(files[0].get('fname') or files[0].get('src')))
