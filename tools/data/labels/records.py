"""What all readers give."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

UNITS = ('seconds', 'milliseconds', 'frames')

_CLOCK = re.compile(r'(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)')


class LabelError(ValueError):
    """A file of labels cannot be understood; the message names file, place and fix."""


@dataclass(frozen=True)
class Label:
    """One action as its file has it.

    Attributes:
        video: Name, path or address of the video.
        start: Seconds, or frames if :attr:`in_frames`.
        end: The same; a range of frames ends before the frame ``end``.
        label: Class.
        where: File and place in it, for messages.
        in_frames: Whether ``start`` and ``end`` count frames from 0.
        fps: Frames per second that they count in; None takes the video's own rate.
        group: Of the video, such as its person or place, where the file has it.
        subset: Of the video, where the file has it.
        duration: Of the video in seconds, where the file has it.
    """

    video: str
    start: float
    end: float
    label: str
    where: str
    in_frames: bool = False
    fps: float | None = None
    group: str | None = None
    subset: str | None = None
    duration: float | None = None


@dataclass(frozen=True)
class ReadOptions:
    """What files of labels do not say themselves.

    Attributes:
        unit: Unit of numbers in tables, one of :data:`UNITS`.
        frame_rate: Frames per second that frame numbers count in; None takes the video's own.
        columns: Names of a table's columns by role, where they are not the usual ones.
        layers: ELAN's tiers or VIA's attributes to read; empty for all.
        name_from: ``'value'`` or ``'tier'``: what names the class in ELAN.
        label_fields: Fields that name the class in ActivityNet-style JSON, joined by commas.
    """

    unit: str = 'seconds'
    frame_rate: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    layers: Sequence[str] = ()
    name_from: str = 'value'
    label_fields: Sequence[str] = ('label',)


def parse_time(text: str, where: str) -> tuple[float, bool]:
    """A time from a table.

    Args:
        text: A number, with a point or a comma, or ``MM:SS`` or ``HH:MM:SS`` with a fraction.
        where: Place, for the message.

    Returns:
        The number, and whether it is a clock's and so in seconds.

    Raises:
        LabelError: If it is neither.
    """
    text = text.strip()
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        hours, minutes, seconds = (
            float((part or '0').replace(',', '.')) for part in clock.groups()
        )
        return 3600 * hours + 60 * minutes + seconds, True
    try:
        value = float(text.replace(',', '.'))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LabelError(f'{where}: {text!r} is no time; write seconds (12.5) or HH:MM:SS.mmm')
    return value, False


def number(value: object, where: str) -> float:
    """A finite number of a JSON or XML file.

    Raises:
        LabelError: If it is none.
    """
    try:
        result = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise LabelError(f'{where}: {value!r} is no number; correct it in the labelling program')
    return result


def class_name(text: object, where: str) -> str:
    """A class's name without spaces around it, accents as one character with their letter (NFC).

    Raises:
        LabelError: If it is empty or no text.
    """
    if not isinstance(text, str) or not text.strip():
        raise LabelError(f'{where}: the action has no label; name its class, or delete it')
    return unicodedata.normalize('NFC', text.strip())
