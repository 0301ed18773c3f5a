"""What is odd about labels, before anything is trained on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .records import Label


@dataclass(frozen=True)
class Instance:
    """An action in seconds.

    Attributes:
        start: Seconds.
        end: Seconds.
        label: Class.
        where: Place in its file, for messages.
    """

    start: float
    end: float
    label: str
    where: str


@dataclass(frozen=True)
class Finding:
    """Something odd: what it is, and where."""

    kind: str
    text: str


_SLACK = 0.05
"""Seconds by which an action may end behind its video unnoticed: players round the end."""
_LENGTH_SLACK = 1.0
"""Seconds by which a video may last longer or shorter than stated unnoticed."""


def check_video(instances: Sequence[Instance], duration: float) -> list[Finding]:
    """Odd instances of one video.

    Args:
        instances: Its actions.
        duration: Seconds.

    Returns:
        Actions that end before they begin or have no length, lie outside the video, run past its
        end, occur twice, or overlap another one of their class.
    """
    findings = []
    seen: dict[str, list[Instance]] = defaultdict(list)
    for item in sorted(instances, key=lambda item: (item.start, item.end)):
        span = f'{item.where}: {item.label} {item.start:g} to {item.end:g} s'
        if item.end <= item.start:
            findings.append(Finding('no length (left out when loaded)', span))
            continue
        if item.start >= duration or item.end <= 0:
            kind = 'outside the video (left out when loaded)'
            findings.append(Finding(kind, f'{span}, the video lasts {duration:g} s'))
            continue
        if item.start < 0 or item.end > duration + _SLACK:
            kind = 'beyond the ends of the video (clipped when loaded)'
            findings.append(Finding(kind, f'{span}, the video lasts {duration:g} s'))
        for other in seen[item.label]:
            if (other.start, other.end) == (item.start, item.end):
                findings.append(Finding('twice (left out when loaded)', span))
            elif item.start < other.end:
                text = f'{span} and {other.start:g} to {other.end:g} s ({other.where})'
                findings.append(Finding('overlapping one of the same class (kept)', text))
        seen[item.label].append(item)
    return findings


def check_names(labels: Sequence[Label]) -> list[Finding]:
    """Classes whose names differ in capital letters alone.

    Args:
        labels: Of all videos.
    """
    kind = 'class names that differ in capital letters alone (kept as classes of their own)'
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for item in labels:
        places[item.label.casefold()].setdefault(item.label, item.where)
    return [
        Finding(kind, ', '.join(f'{name} ({where})' for name, where in names.items()))
        for names in places.values()
        if len(names) > 1
    ]


def check_length(labels: Sequence[Label], duration: float) -> list[Finding]:
    """Whether a video lasts as long as its labels say, where they say it.

    Args:
        labels: Of one video.
        duration: Seconds of its file.
    """
    kind = 'videos of another length than their labels say (cut, or another one?)'
    stated = {
        label.duration: label.where for label in reversed(labels) if label.duration is not None
    }
    return [
        Finding(kind, f'{where}: {labels[0].video} lasts {duration:g} s, not {seconds:g} s')
        for seconds, where in stated.items()
        if abs(seconds - duration) > _LENGTH_SLACK
    ]


def summarize(findings: Sequence[Finding], shown: int = 3) -> str:
    """Findings by kind: how many, and the first ones."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding.text)
    lines = []
    for kind, texts in by_kind.items():
        lines.append(f'{len(texts)} {kind}:')
        lines += [f'  {text}' for text in texts[:shown]]
        if len(texts) > shown:
            lines.append(f'  and {len(texts) - shown} more')
    return '\n'.join(lines)


def length_table(lengths: Mapping[str, Sequence[float]]) -> str:
    """Lengths of the actions of each class: 5th, 50th and 95th percentile, seconds."""
    width = max(len(name) for name in [*lengths, 'length (s)'])
    lines = [f'{"length (s)":<{width}}  {"5 %":>8}  {"50 %":>8}  {"95 %":>8}']
    for name, values in lengths.items():
        cells = np.percentile(values, (5, 50, 95)) if len(values) else []
        lines.append('  '.join([f'{name:<{width}}', *(f'{cell:8.2f}' for cell in cells)]))
    return '\n'.join(lines)
