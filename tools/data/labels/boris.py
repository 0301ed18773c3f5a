"""Projects of BORIS; its tables of aggregated events are read as tables."""

from __future__ import annotations

import json
from pathlib import Path

from .records import Label, LabelError, ReadOptions, class_name, number

_TIME, _SUBJECT, _CODE, _MODIFIER = range(4)


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read the state events of a project: the first of two is the start, the second the end.

    Points in time are left out, and so are observations without media: live ones and images.

    Raises:
        LabelError: If an observation plays several files one after another, or a state has no end.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise LabelError(f'{path} is not valid JSON ({error}); save it again in BORIS') from error
    behaviours = (content.get('behaviors_conf') or {}).values()
    states = {b.get('code') for b in behaviours if 'state' in str(b.get('type')).lower()}
    labels = []
    for name, observation in (content.get('observations') or {}).items():
        if str(observation.get('type', 'MEDIA')).upper() != 'MEDIA':
            continue
        labels += _states(observation, states, f'{path}, observation {name}')
    return labels


def _states(observation: dict, states: set[str | None], where: str) -> list[Label]:
    files = (observation.get('file') or {}).get('1') or []
    if len(files) != 1:
        raise LabelError(
            f'{where}: plays {len(files)} files one after another; observe each of them alone'
        )
    if number(observation.get('time offset') or 0, f'{where}, time offset'):
        raise LabelError(f'{where}: has a time offset; set it to 0 in BORIS and save the project')
    open_at: dict[tuple[str, ...], float] = {}
    labels = []
    for event in sorted(observation.get('events') or [], key=lambda event: event[_TIME]):
        time = number(event[_TIME], where)
        code = class_name(event[_CODE], where)
        key = (str(event[_SUBJECT]), code, str(event[_MODIFIER]) if len(event) > _MODIFIER else '')
        if code not in states:
            continue
        if key in open_at:
            labels.append(Label(files[0], open_at.pop(key), time, code, f'{where}, {time:g} s'))
        else:
            open_at[key] = time
    if open_at:
        (_, code, _), time = next(iter(open_at.items()))
        raise LabelError(f'{where}: {code} starts at {time:g} s and does not end; end it in BORIS')
    return labels
