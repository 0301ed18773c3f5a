"""How far an inference is, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_INTERVAL = 10.0
"""Seconds between lines where stderr is no terminal."""


class InferenceProgress:
    """A bar for the video in work; plain lines now and then where stderr is no terminal.

    Args:
        num_videos: Videos in all.
        shown: False shows nothing but reports.
    """

    def __init__(self, num_videos: int, shown: bool = True) -> None:
        self.num_videos = num_videos
        self.count = 0
        self._name = ''
        self._total: float | None = None
        self._begin = self._said = time.monotonic()
        console = Console(stderr=True)
        self._shown, self._live = shown, shown and console.is_terminal
        self._bar = Progress(
            TextColumn('{task.description}', markup=False),  # names may hold [brackets]
            BarColumn(bar_width=30),
            TextColumn('{task.fields[words]}'),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not self._live,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> InferenceProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, name: str, seconds: float | None) -> None:
        """Begin with a video.

        Args:
            name: The video.
            seconds: Its length; None where it is not known.
        """
        self.count += 1
        self._name, self._total = name, seconds
        self._begin = self._said = time.monotonic()
        if self._task is not None:
            self._bar.remove_task(self._task)
        title = f'{self.count}/{self.num_videos} {name}'
        self._task = self._bar.add_task(title, total=seconds, words='')

    def advance(self, seconds: float) -> None:
        """Say that so many seconds of the video have been seen."""
        now = time.monotonic()
        speed = seconds / max(now - self._begin, 1e-9)
        if self._live:
            words = f'{seconds:.0f} s of video, {speed:.1f} x its speed'
            self._bar.update(self._task, completed=seconds, words=words)
        elif self._shown and now - self._said >= _INTERVAL:
            self._said = now
            self.report(
                f'{self.count}/{self.num_videos} {self._name}: {self._words(seconds, speed)}'
            )

    def _words(self, seconds: float, speed: float) -> str:
        if not self._total:
            return f'{seconds:.0f} s seen, {speed:.1f} x the speed of the video'
        left = max(self._total - seconds, 0.0) / max(speed, 1e-9)
        share = min(100.0, 100.0 * seconds / self._total)
        return f'{share:.0f} %, about {left:.0f} s left'

    def report(self, line: str) -> None:
        """Print a line above the bar."""
        if self._live:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
