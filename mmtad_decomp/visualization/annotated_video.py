"""A video with its detections written into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.postprocessing.detections import by_score, take
from mmtad_decomp.utils.atomic import atomic_write

from .timeline import PALETTE
from .titles import shorten

_WIDTH = 640
"""Least width of the written video in pixels, so that its text can be read."""

_SPAN = 60.0
"""Seconds of the time line in the picture; of a longer video it moves along."""

_CAPTION, _LINE, _ROW, _MARGIN = 30, 24, 20, 8
_MARK = 18
_MAX_ROWS = 5
_MAX_CAPTIONS = 3
_OTHER = '#7F7F7F'
"""Color of classes without a row."""
_GROUND, _INK, _TRACK = (255, 255, 255), (40, 40, 40), (235, 235, 235)


def annotate_frames(
    frames: Iterable[np.ndarray],
    fps: float,
    detections: Detections,
    classes: Sequence[str],
    duration: float,
) -> Iterator[np.ndarray]:
    """Put names and a time line below frames.

    Below the frame are the names and scores of the three best detections at this moment, the
    number of the others, and a time line with a row for each of the classes that score best. Names
    that are too long are shortened.

    Args:
        frames: ``(H, W, 3)`` uint8 RGB; frame k is shown from ``k / fps`` seconds on.
        fps: Frames per second.
        detections: What to show; all of them.
        classes: Class names in label order.
        duration: Seconds of the whole video.

    Yields:
        ``(H', W', 3)`` uint8 RGB, with even sides.
    """
    panel = None
    for number, frame in enumerate(frames):
        if panel is None:
            scale = max(1.0, _WIDTH / frame.shape[1])
            width, height = (round(side * scale / 2) * 2 for side in frame.shape[1::-1])
            panel = _Panel(by_score(detections), classes, duration, width)
        if frame.shape[1::-1] != (width, height):
            mode = cv2.INTER_NEAREST if scale >= 4 else cv2.INTER_LINEAR
            frame = cv2.resize(frame, (width, height), interpolation=mode)
        yield np.concatenate([frame, panel.draw((number + 0.5) / fps)])


def _clock(seconds: float) -> str:
    return f'{int(seconds // 60)}:{seconds % 60:05.2f}'


class _Panel:
    """Draws what is below the frame."""

    def __init__(
        self, detections: Detections, classes: Sequence[str], duration: float, width: int
    ) -> None:
        self.detections = detections
        self.classes = [' '.join(name.split()) for name in classes]  # a line each
        self.duration, self.width = duration, width
        self.rows = list(dict.fromkeys(detections.labels.tolist()))[:_MAX_ROWS]
        path = findfont(FontProperties())  # that of the other pictures
        self.large, self.small = (ImageFont.truetype(path, size) for size in (18, 13))
        names = [self.small.getlength(self.classes[label]) for label in self.rows]
        self.left = min(math.ceil(max(names, default=0)) + 2 * _MARGIN, width // 3)
        room = self.left - 2 * _MARGIN
        self.names = [
            shorten(self.classes[label], lambda text: self.small.getlength(text) <= room)
            for label in self.rows
        ]
        self.before_clock = width - 3 * _MARGIN - math.ceil(self.small.getlength(_clock(duration)))
        # The captions change at these moments only; all frames have the lines that most need.
        moments = np.unique(detections.segments)
        lines = (caption[0] for moment in moments for caption in self._captions(moment))
        self.top = _CAPTION + _LINE * max(lines, default=0)
        self.height = self.top + _ROW * max(len(self.rows), 1) + 2 * _MARGIN
        self.height += self.height % 2

    def draw(self, seconds: float) -> np.ndarray:
        """The panel at a moment, ``(height, width, 3)``."""
        image = Image.new('RGB', (self.width, self.height), _GROUND)
        canvas = ImageDraw.Draw(image)
        self._write_captions(canvas, seconds)
        begin = 0.0
        if self.duration > _SPAN:
            begin = float(np.clip(seconds - _SPAN / 2, 0.0, self.duration - _SPAN))
        self._draw_time_line(canvas, seconds, begin, min(self.duration, _SPAN))
        return np.asarray(image)

    def _captions(self, seconds: float) -> list[tuple[int, int, int, str]]:
        """Line, left edge in pixels, label and text of each caption; one line if there is room."""
        segments = self.detections.segments
        shown = np.flatnonzero((segments[:, 0] <= seconds) & (seconds < segments[:, 1]))
        captions, line, x = list[tuple[int, int, int, str]](), 0, _MARGIN
        right = self.before_clock
        for number, row in enumerate(shown[:_MAX_CAPTIONS].tolist(), start=1):
            label = int(self.detections.labels[row])
            name, rest = self.classes[label], f' {self.detections.scores[row]:.2f}'
            if number == _MAX_CAPTIONS < len(shown):
                rest = f'{rest}  +{len(shown) - number} more'
            if number > 1 and x + self._caption_width(name + rest) > right:
                line, x, right = line + 1, _MARGIN, self.width - _MARGIN
            name = shorten(name, partial(self._fits, rest, right - x))
            captions.append((line, x, label, name + rest))
            x += self._caption_width(name + rest) + 2 * _MARGIN
        return captions

    def _fits(self, rest: str, room: int, name: str) -> bool:
        return self._caption_width(name + rest) <= room

    def _caption_width(self, text: str) -> int:
        return _MARK + math.ceil(self.large.getlength(text))

    def _write_captions(self, canvas: ImageDraw.ImageDraw, seconds: float) -> None:
        for line, x, label, text in self._captions(seconds):
            y = _LINE * line
            canvas.rectangle((x, y + 9, x + 12, y + 21), fill=self._color(label))
            canvas.text((x + _MARK, y + 4), text, font=self.large, fill=_INK)
        clock = _clock(seconds)
        place = self.width - _MARGIN - self.small.getlength(clock)
        canvas.text((place, 8), clock, font=self.small, fill=_INK)

    def _draw_time_line(
        self, canvas: ImageDraw.ImageDraw, seconds: float, begin: float, span: float
    ) -> None:
        right = self.width - _MARGIN

        def place(second: float) -> float:
            return self.left + (right - self.left) * min(max((second - begin) / span, 0.0), 1.0)

        for number, label in enumerate(self.rows):
            top = self.top + _MARGIN + _ROW * number
            canvas.text((_MARGIN, top + 1), self.names[number], font=self.small, fill=_INK)
            canvas.rectangle((self.left, top + 2, right, top + _ROW - 3), fill=_TRACK)
            mine = take(self.detections, self.detections.labels == label)
            inside = (mine.segments[:, 1] > begin) & (mine.segments[:, 0] < begin + span)
            for (start, end), score in zip(mine.segments[inside][::-1], mine.scores[inside][::-1]):
                color = self._color(label, 0.25 + 0.75 * float(np.clip(score, 0, 1)))
                box = (place(start), top + 2, max(place(end), place(start) + 2), top + _ROW - 3)
                canvas.rectangle(box, fill=color)
        x = place(seconds)
        canvas.line((x, self.top, x, self.height - _MARGIN), fill=_INK, width=2)

    def _color(self, label: int, opacity: float = 1.0) -> tuple[int, int, int]:
        text = PALETTE[self.rows.index(label)] if label in self.rows else _OTHER
        red, green, blue = (
            round(opacity * int(text[i : i + 2], 16) + (1 - opacity) * track)
            for i, track in zip((1, 3, 5), _TRACK)
        )
        return red, green, blue


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Encode frames as H.264 in MP4; the file appears once it is complete.

    Args:
        path: The file.
        frames: ``(H, W, 3)`` uint8 RGB of one size with even sides.
        fps: Frames per second.
    """
    with atomic_write(path) as file, av.open(file, 'w', format='mp4') as output:
        rate = Fraction(fps).limit_denominator(1001)
        stream = output.add_stream('libx264', rate=rate, options={'crf': '20', 'preset': 'fast'})
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = 'yuv420p'
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
