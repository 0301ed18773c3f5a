"""CVAT's own XML, version 1.1: tracks of videos, and tags of frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from .records import Label, LabelError, ReadOptions, class_name, number

_SHAPES = ('box', 'polygon', 'polyline', 'points', 'cuboid', 'skeleton', 'ellipse', 'mask')


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read an export "CVAT for video 1.1", or "CVAT for images 1.1" of a video's tags.

    A track is an action for as long as it can be seen: from a shape to the first one that is
    ``outside``, or to the annotated frame after its last shape. A tag on neighbouring frames is
    one action.

    Raises:
        LabelError: If the file is no such export, or names no video.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise LabelError(f'{path} is not valid XML ({error}); export it again') from error
    if root.tag != 'annotations':
        raise LabelError(f'{path}: no export of CVAT, its root is <{root.tag}>')
    tasks = _tasks(root, path)
    labels = []
    for index, track in enumerate(root.iter('track')):
        where = f'{path}, track {track.get("id", index)}'
        video, step = _task_of(track, tasks, where)
        name = class_name(track.get('label'), where)
        for start, end in _visible(track, step, where):
            labels.append(Label(video, start, end, name, where, True, options.frame_rate))
    return labels + _tagged(root, tasks, path, options)


def _tasks(root: ElementTree.Element, path: Path) -> dict[str, tuple[str, int]]:
    """Video and step between frames of each task by its id."""
    tasks = {}
    meta = root.find('meta')
    if meta is None:
        meta = ElementTree.Element('meta')
    for task in (*meta.iter('task'), *meta.iter('job')):
        source = task.findtext('source') or meta.findtext('source') or task.findtext('name') or ''
        step = (task.findtext('frame_filter') or '').partition('step=')[2]
        tasks[task.findtext('id') or ''] = source.strip(), int(step) if step.isdigit() else 1
    if not tasks or not all(video for video, _ in tasks.values()):
        raise LabelError(f'{path}: <meta> names no video; export the task as "CVAT for video 1.1"')
    return tasks


def _task_of(
    item: ElementTree.Element, tasks: dict[str, tuple[str, int]], where: str
) -> tuple[str, int]:
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    task_id = item.get('task_id')
    if task_id is None or task_id not in tasks:
        raise LabelError(
            f'{where}: is of task {task_id!r}, but the file has {sorted(tasks)}; '
            'export each task alone'
        )
    return tasks[task_id]


def _visible(track: ElementTree.Element, step: int, where: str) -> Iterator[tuple[float, float]]:
    """Ranges of frames in which a track can be seen; every ``step``-th frame is annotated."""
    shapes = sorted(
        (number(shape.get('frame'), where), shape.get('outside') == '1')
        for shape in track
        if shape.tag in _SHAPES
    )
    start = None
    for frame, outside in shapes:
        if outside and start is not None:
            yield start, frame
            start = None
        elif not outside and start is None:
            start = frame
    if start is not None:
        yield start, shapes[-1][0] + step


def _tagged(
    root: ElementTree.Element, tasks: dict[str, tuple[str, int]], path: Path, options: ReadOptions
) -> list[Label]:
    frames: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    for image in root.iter('image'):
        where = f'{path}, image {image.get("id")}'
        video, step = _task_of(image, tasks, where)
        for tag in image.iter('tag'):
            key = video, step, class_name(tag.get('label'), where)
            frames[key].add(int(number(image.get('id'), where)))
    labels = []
    for (video, step, name), tagged in frames.items():
        for frame in sorted(tagged):
            if frame - step not in tagged:
                end = frame
                while end in tagged:
                    end += step
                where = f'{path}, tag {name}, frame {frame}'
                labels.append(Label(video, frame, end, name, where, True, options.frame_rate))
    return labels
