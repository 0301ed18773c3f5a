"""Reading and cleaning of ActivityNet-style annotation files, done once and in one place."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmtad_decomp.structures import AnnotationSet, Census, VideoAnnotation
from mmtad_decomp.utils import UnsafeNameError, path_below

from .content import (
    AnnotationError,
    as_names,
    cut,
    label_of,
    list_some,
    name_fields,
    read_content,
    resolve_classes,
    shorten,
)
from .video_list import read_video_list

_MOST_LABELS = 10
"""Unknown labels that a message names."""

_LIKELY_FPS = 60.0
"""Frames per second that few videos exceed."""


def _number(value: object, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond the range of floats
            number = math.inf
        if math.isfinite(number):
            return number
    raise AnnotationError(
        f'{where} must be a finite number, got {shorten(value)}; correct the file'
    )


def _positive(video: dict, name: str, where: str) -> float | None:
    """An optional number > 0; null counts as absent."""
    if video.get(name) is None:
        return None
    value = _number(video[name], f'{where}: field "{name}"')
    if value <= 0:
        raise AnnotationError(
            f'{where}: field "{name}" must be > 0, got {shorten(video[name])}; correct the file'
        )
    return value


def raw_instances(
    video: dict, fields: Sequence[str], where: str
) -> list[tuple[str, tuple[float, float]]]:
    """Class and segment of each instance of a video, as the file has them.

    Args:
        video: Entry of the ``database``.
        fields: Fields of an instance that name its class.
        where: File and video, for messages.

    Raises:
        AnnotationError: If an instance has no class, or its segment is no pair of finite numbers.
    """
    annotations = video.get('annotations', [])
    if not isinstance(annotations, list):
        raise AnnotationError(
            f'{where}: field "annotations" must be a list, got {shorten(annotations)}; correct it'
        )
    instances = []
    for i, item in enumerate(annotations):
        at = f'{where}, annotations[{i}]'
        label = label_of(item, fields) if isinstance(item, dict) else None
        if label is None:
            raise AnnotationError(
                f'{at}: needs a string field {name_fields(fields)}; correct the file, or name the '
                'fields that hold the class (`label_fields`; --labels of the tools)'
            )
        segment = item.get('segment')
        if not isinstance(segment, (list, tuple)) or len(segment) != 2:
            raise AnnotationError(
                f'{at}: field "segment" must be [start, end] in seconds, got {shorten(segment)}; '
                'correct the file'
            )
        start, end = (_number(t, f'{at}: field "segment"') for t in segment)
        instances.append((label, (start, end)))
    return instances


def _clean(
    instances: list[tuple[str, tuple[float, float]]],
    duration: float,
    index: dict[str, int],
    ignored: set[str],
    census: Census,
) -> tuple[np.ndarray, np.ndarray]:
    kept: dict[tuple[float, float, int], None] = {}
    for label, (start, end) in instances:
        if label in ignored or label not in index:
            census.ignored_labels[label] += 1
            continue
        if end < start:
            census.dropped['reversed segments'] += 1
        elif end == start:
            census.dropped['zero-length segments'] += 1
        elif start >= duration or end <= 0:
            census.dropped['segments outside their video'] += 1
        else:
            inside = (max(start, 0.0), min(end, duration))
            census.clipped += inside != (start, end)
            key = (*inside, index[label])
            if key in kept:
                census.dropped['duplicate segments'] += 1
            kept[key] = None
    rows = sorted(kept)
    segments = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2)
    return segments, np.array([row[2] for row in rows], dtype=np.int64)


def _refuse_unknown_labels(
    left_out: Mapping[str, int],
    ignored: set[str],
    names: Sequence[str],
    videos: Iterable[VideoAnnotation],
    ann_file: str | Path,
) -> None:
    """Refuse labels that are neither classes nor to be left out, all of them at once.

    The message names the first :data:`_MOST_LABELS` of them.

    Raises:
        AnnotationError: If there are any.
    """
    unknown = sorted(left_out.keys() - ignored)
    if not unknown:
        return
    seen = {names[label] for video in videos for label in video.labels}
    labels = ', '.join(
        f'"{cut(name)}" ({left_out[name]}{_meant(name, names, seen)})'
        for name in unknown[:_MOST_LABELS]
    )
    rest = len(unknown) - _MOST_LABELS
    fix = f'ignore_labels={unknown}'
    if rest > 0:
        labels += f' and {rest} more'
        fix = '`ignore_labels`'
    raise AnnotationError(
        f'{ann_file}: {len(unknown)} labels (and how often) are not among the {len(names)} '
        f'classes {list_some(names)}: {labels}; add them to `classes`, or leave their instances '
        f'out by {fix}'
    )


def _meant(label: str, names: Sequence[str], seen: set[str]) -> str:
    """The class that an unknown label is likely to stand for, as a question, or nothing.

    The class differs in upper case only, or its name is close and no instance has it.
    """
    folded = {name.casefold(): name for name in names}
    unseen = [name for name in folded if folded[name] not in seen]
    close = [label.casefold()] if label.casefold() in folded else []
    close += difflib.get_close_matches(label.casefold(), unseen, n=1, cutoff=0.8)
    return f'; did you mean "{folded[close[0]]}"?' if close else ''


def _wanted_subsets(
    content: dict, ann_file: str | Path, subset: str | Sequence[str] | None
) -> set[str | None]:
    """Names of the subsets to read; every video is checked to have one that can be compared."""
    present: dict[str | None, str] = {}
    for video_id, video in content['database'].items():
        try:
            path_below('', video_id, f'{ann_file}: video id')
        except UnsafeNameError as error:
            raise AnnotationError(str(error)) from error
        where = f'{ann_file}: video "{video_id}"'
        if not isinstance(video, dict):
            raise AnnotationError(
                f'{where} must be an object, got {shorten(video)}; correct the file'
            )
        name = video.get('subset')
        if name is not None and not isinstance(name, str):
            raise AnnotationError(
                f'{where}: field "subset" must be a string, got {shorten(name)}; correct the file'
            )
        present.setdefault(name, where)
    if subset is None:
        return set(present)
    wanted: set = set(as_names(subset))
    if [*present] == [None]:
        raise AnnotationError(
            f'{ann_file}: no video has a field "subset"; add it to each video, with names such as '
            f'{sorted(wanted)[0]!r}, or set `subset=None` to take all videos'
        )
    if None in present:
        raise AnnotationError(
            f'{present[None]}: field "subset" is missing, other videos have it; add it, or any '
            'other name to leave the video out'
        )
    missing = sorted(wanted - {*present})
    if missing:
        raise AnnotationError(
            f'{ann_file}: no video is of subset {", ".join(map(repr, missing))}; set `subset` to '
            f'one of those in the file: {sorted(map(str, present))}'
        )
    return wanted


def _is_close(name: str, wanted: Iterable[str | None]) -> bool:
    """Whether the name of a subset is perhaps one of those wanted, misspelt."""
    names = [other.casefold() for other in wanted if other is not None]
    return bool(difflib.get_close_matches(name.strip().casefold(), names, n=1, cutoff=0.8))


def _refuse_other_units(
    content: dict, videos: Sequence[VideoAnnotation], ann_file: str | Path
) -> None:
    """Refuse times in another unit than seconds: most of them lie behind their video.

    Raises:
        AnnotationError: If more than half of the segments begin behind their video, or end behind
            twice its length. The message says which unit the times look like.
    """
    ends: list[tuple[float, VideoAnnotation]] = []
    beyond = 0
    for video in videos:
        for item in content['database'][video.video_id].get('annotations', []):
            start, end = item['segment']
            ends.append((end, video))
            beyond += start >= video.duration or end > 2 * video.duration
    if 2 * beyond <= len(ends):
        return

    def fits(per_second: Callable[[VideoAnnotation], float]) -> bool:
        return all(end / per_second(video) <= 1.05 * video.duration for end, video in ends)

    guess = 'Convert them to seconds'
    if fits(lambda video: video.fps or _LIKELY_FPS):
        guess = 'They look like frames: divide them by the frames per second of their video'
    elif fits(lambda video: 1000):
        guess = 'They look like milliseconds: divide them by 1000'
    raise AnnotationError(
        f'{ann_file}: {beyond} of {len(ends)} segments end far behind their videos, but '
        f'"segment" and "duration" are in seconds. {guess}, or correct "duration"'
    )


def _read_video(
    video_id: str,
    video: dict,
    index: dict[str, int],
    ignored: set[str],
    census: Census,
    fields: Sequence[str],
    where: str,
) -> VideoAnnotation:
    duration = _positive(video, 'duration', where)
    if duration is None:
        raise AnnotationError(f'{where}: field "duration" (seconds) is missing; add it')
    frames, path = _positive(video, 'frame', where), video.get('path')
    if frames is not None and frames != int(frames):
        raise AnnotationError(
            f'{where}: field "frame" (number of frames) must be whole, got {frames}; correct it'
        )
    if path is not None and not isinstance(path, str):
        raise AnnotationError(
            f'{where}: field "path" must be a string, got {shorten(path)}; correct the file'
        )
    segments, labels = _clean(
        raw_instances(video, fields, where), duration, index, ignored, census
    )
    return VideoAnnotation(
        video_id=video_id,
        subset=str(video.get('subset')),
        duration=duration,
        fps=_positive(video, 'fps', where),
        num_frames=None if frames is None else int(frames),
        path=path,
        segments=segments,
        labels=labels,
    )


def load_annotations(
    ann_file: str | Path,
    subset: str | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    ignore_labels: str | Sequence[str] = (),
    exclude_videos: Sequence[str] | str = (),
    label_fields: str | Sequence[str] = ('label',),
    content: dict | None = None,
) -> AnnotationSet:
    """Read an ActivityNet-style JSON file and clean its instances.

    The file has a ``database`` that maps video ids to objects with ``subset``, ``duration``
    (seconds), optionally ``fps``, ``frame`` (number of frames) and ``path``, and ``annotations``:
    a list of ``{"segment": [start, end], "label": name}`` in seconds. A top-level ``classes``
    list fixes the order of the labels.

    Reversed, zero-length, out-of-video and duplicate segments are dropped, segments that run past
    the video are clipped, and everything is counted in the census. A key that occurs twice in
    one object, such as a video id, is an error.

    Args:
        ann_file: The JSON file.
        subset: Subset name or names to keep; None keeps all.
        classes: Class names in label order. Default: the file's ``classes``, else its sorted
            labels without ``ignore_labels``.
        ignore_labels: Label or labels whose instances are left out (``"Ambiguous"`` in THUMOS'14).
        exclude_videos: Ids of videos to leave out (such as THUMOS'14's 270, 1292 and 1496), or a
            file that names them, see :func:`~mmtad_decomp.annotations.read_video_list`.
        label_fields: Field or fields of an instance that name its class, joined by commas:
            ``('verb',)``, ``('noun',)`` and ``('verb', 'noun')`` of an EPIC-KITCHENS file. The
            file's ``classes`` are those of ``label``.
        content: JSON object that the file is going to hold, to check it before it is written; None
            reads the file.

    Raises:
        AnnotationError: If the file is missing or malformed, has an unknown label, or times that
            are not in seconds.
    """
    if content is None:
        content = read_content(ann_file)
    ignored, label_fields = set(as_names(ignore_labels)), as_names(label_fields)
    names = resolve_classes(content, ann_file, classes, ignored, label_fields)
    index = {name: i for i, name in enumerate(names)}
    wanted = _wanted_subsets(content, ann_file, subset)
    excluded, census, videos = set(read_video_list(exclude_videos)), Census(), {}
    others: Counter[str] = Counter()
    for video_id, video in content['database'].items():
        if (name := video.get('subset')) not in wanted:
            others[name] += 1
            continue
        if video_id in excluded:
            census.excluded_videos += 1
            continue
        where = f'{ann_file}: video "{video_id}"'
        videos[video_id] = _read_video(
            video_id, video, index, ignored, census, label_fields, where
        )
        census.videos += 1
        census.instances += len(videos[video_id].labels)
        census.videos_without_instances += not len(videos[video_id].labels)
    census.misspelt_subsets.update(
        {name: n for name, n in others.items() if _is_close(name, wanted)}
    )
    _refuse_unknown_labels(census.ignored_labels, ignored, names, videos.values(), ann_file)
    if not videos:
        raise AnnotationError(
            f'{ann_file}: no video of subset {subset!r} is left, {census.excluded_videos} are '
            'excluded; correct `exclude_videos` or the file'
        )
    _refuse_other_units(content, list(videos.values()), ann_file)
    return AnnotationSet(str(ann_file), names, videos, census)
