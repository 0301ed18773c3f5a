"""Label Studio's JSON export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from .records import Label, LabelError, ReadOptions, class_name, number

_UPLOADED, _LOCAL = '/data/upload/', '/data/local-files/'
_UPLOAD_PREFIX = re.compile(r'^[0-9a-f]{8}-(?=.)')
"""What Label Studio puts before the name of an uploaded file."""


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read the finished annotations of ``TimelineLabels`` (frames) and ``Labels`` (seconds).

    Predictions and skipped annotations are left out. Frames count from 1 at the ``frameRate`` of
    the labelling interface: the task's field ``fps``, or ``--frame-rate``.

    Raises:
        LabelError: If a task names no video, or nothing says the frame rate.
    """
    labels: list[Label] = []
    for index, task in enumerate(json.loads(path.read_text(encoding='utf-8-sig'))):
        where = f'{path}, task {task.get("id", index) if isinstance(task, dict) else index}'
        if not isinstance(task, dict) or not isinstance(task.get('data'), dict):
            raise LabelError(f'{where}: has no "data"; export the project as JSON, not JSON-MIN')
        done = [a for a in task.get('annotations', []) if not a.get('was_cancelled')]
        if len(done) > 1:
            raise LabelError(
                f'{where}: has {len(done)} annotations; keep one of them in Label Studio'
            )
        for region in done[0].get('result', []) if done else []:
            labels += _labels(task, region, where, options)
    return labels


def _labels(task: dict, region: dict, where: str, options: ReadOptions) -> Iterator[Label]:
    value = region.get('value') or {}
    video = _video(task['data'], region, where)
    for name in value.get('labels') or () if 'start' in value else ():
        start, end = (number(value.get(key), where) for key in ('start', 'end'))
        yield Label(video, start, end, class_name(name, where), where)
    for name in value.get('timelinelabels') or ():
        fps = options.frame_rate or task['data'].get('fps')
        if fps is None:
            raise LabelError(
                f'{where}: its ranges are frames; give the frameRate of the labelling interface '
                'by --frame-rate (24 where the interface has none)'
            )
        fps = number(fps, f'{where}, fps')
        for span in value.get('ranges', []):
            start, end = (number(span.get(key), where) for key in ('start', 'end'))
            yield Label(video, start - 1, end, class_name(name, where), where, True, fps)


def _video(data: dict, region: dict, where: str) -> str:
    """The video of a task: its uploaded file's name, or the path of a local file.

    Addresses are decoded, paths stay as they are.
    """
    name = data.get('video') or data.get(region.get('to_name')) or data.get('video_url')
    if not isinstance(name, str):
        raise LabelError(f'{where}: "data" has no "video"; call the field of the video so')
    if '://' in name or name.startswith((_UPLOADED, _LOCAL)):
        address = urlparse(name)
        local = parse_qs(address.query).get('d')
        path = Path(local[0] if local else unquote(address.path))
        if _UPLOADED in address.path:
            path = path.with_name(_UPLOAD_PREFIX.sub('', path.name))
    else:
        path = Path(name)
    if not path.name:
        raise LabelError(f'{where}: {name!r} names no file; give the address of the video')
    return str(path)
