"""Tables: one row for each action."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from .records import Label, LabelError, ReadOptions, class_name, parse_time

ROLES = {
    'video': ('video', 'video_id', 'file', 'filename', 'file_name', 'path', 'media',
              'media file name', 'media file'),
    'start': ('start', 'begin', 'onset', 'from', 'start_time', 't_start', 'start (s)'),
    'end': ('end', 'stop', 'offset', 'to', 'end_time', 't_end', 'stop (s)'),
    'label': ('label', 'class', 'action', 'annotation', 'behavior', 'behaviour'),
    'group': ('group',),
    'subset': ('subset', 'split'),
    'type': ('behavior type', 'behaviour type'),
}  # fmt: skip
"""Names of columns by role. The roles ``group``, ``subset`` and ``type`` may be missing; BORIS'
aggregated events have a ``type``, and its points in time are left out."""

_NEEDED = ('video', 'start', 'end', 'label')


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read a table with a header, separated by commas, semicolons or tabs.

    Raises:
        LabelError: If a column is missing or a cell makes no sense.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(',;\t', key=header.count)
            reader = csv.DictReader(file, delimiter=delimiter)
            # The line at which a row ends: blank lines and line breaks in cells count.
            columns = find_columns(path, reader.fieldnames or (), options)
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise LabelError(f'{path}: not UTF-8 ({error}); save the table as UTF-8') from error
    labels = []
    for line, row in rows:
        surplus = [cell for cell in row.pop(None, ()) if cell.strip()]
        if surplus:
            raise LabelError(
                f'{path}, line {line}: more cells than columns, the last is {surplus[-1]!r}; put '
                f'quotes around a cell with {delimiter!r} in it, such as a time with a comma'
            )
        if not any(cell and cell.strip() for cell in row.values()):
            continue
        if (row.get(columns.get('type', '')) or '').strip().upper().startswith('POINT'):
            continue
        labels.append(_label(row, columns, f'{path}, line {line}', options))
    return labels


def find_columns(path: Path, header: Iterable[str], options: ReadOptions) -> dict[str, str]:
    """Names of the columns by role.

    Raises:
        LabelError: If one that is needed is missing.
    """
    names = {name.strip().strip('"').lower(): name for name in header if name}
    if not names:
        raise LabelError(f'{path}: the first line is empty; write the names of the columns there')
    columns = {}
    for role, usual in ROLES.items():
        wanted = (options.columns[role],) if role in options.columns else usual
        found = [names[name.lower()] for name in wanted if name.lower() in names]
        if found:
            columns[role] = found[0]
        elif role in options.columns or role in _NEEDED:
            raise LabelError(
                f'{path}: no column for the {role} (looked for {", ".join(wanted)}; there are '
                f'{", ".join(names)}); name it by --columns {role}=NAME'
            )
    return columns


def _label(
    row: Mapping[str, str], columns: Mapping[str, str], where: str, options: ReadOptions
) -> Label:
    cells = {role: (row[name] or '').strip() for role, name in columns.items()}
    if not cells['video']:
        raise LabelError(f'{where}: the video is not named; fill in the cell')
    ends, clocks = zip(*(parse_time(cells[key], f'{where}, {key}') for key in ('start', 'end')))
    if len({*clocks}) > 1:
        raise LabelError(f'{where}: start and end are written in two ways; write both alike')
    scale = 1000 if options.unit == 'milliseconds' and not clocks[0] else 1
    return Label(
        video=cells['video'],
        start=ends[0] / scale,
        end=ends[1] / scale,
        label=class_name(cells['label'], where),
        where=where,
        in_frames=options.unit == 'frames' and not clocks[0],
        fps=options.frame_rate,
        group=cells.get('group') or None,
        subset=cells.get('subset') or None,
    )
