"""ActivityNet-style JSON: a ``database`` of videos with their subsets, lengths and actions."""

from __future__ import annotations

from pathlib import Path

from .records import Label, LabelError, ReadOptions, class_name, number


def read(path: Path, options: ReadOptions) -> list[Label]:
    """Read the actions of all videos; their times are seconds.

    A video is called as its ``path``, or else as its id. Its ``subset`` and its ``duration`` may
    be missing.

    Raises:
        LabelError: If a subset is no text, a duration no number, or an action has no label.
        AnnotationError: If a video occurs twice, or an action has no class or no segment.
    """
    from mmtad_decomp.annotations.content import read_content
    from mmtad_decomp.annotations.reading import raw_instances

    labels = []
    for video_id, video in read_content(path)['database'].items():
        where = f'{path}: video "{video_id}"'
        if not isinstance(video, dict):
            raise LabelError(f'{where} must be an object, got {video!r}; correct the file')
        name, subset, duration = (video.get(key) for key in ('path', 'subset', 'duration'))
        for key, value in (('path', name), ('subset', subset)):
            if value is not None and not isinstance(value, str):
                raise LabelError(f'{where}: "{key}" must be a text, got {value!r}; correct it')
        seconds = None if duration is None else number(duration, f'{where}: "duration"')
        instances = raw_instances(video, options.label_fields, where)
        for index, (label, (start, end)) in enumerate(instances):
            place = f'{where}, annotations[{index}]'
            labels.append(
                Label(
                    name or video_id,
                    start,
                    end,
                    class_name(label, place),
                    place,
                    subset=subset,
                    duration=seconds,
                )
            )
    return labels
