"""Ctrl-C, and SIGTERM, by which Docker, Slurm and systemd end a command, as one exception."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_REPEATED = 1.0
"""Seconds in which further signals count as one: `timeout` sends two at once."""
_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
"""What Python does on the signals that are handled here."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end.

    Attributes:
        code: Exit code that a shell gives for the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f'ended by {signal.Signals(number).name}')
        self.code = 128 + number


class _Handler:
    """Raises :class:`Interrupted` in the main thread."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self.number = signal.SIGTERM

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.latest is None or now - self.latest > _REPEATED:
            self.latest, self.number = now, signal.Signals(number)
            raise Interrupted(number)


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise :class:`Interrupted`: what is begun is cleaned up or written.

    In processes that are forked meanwhile both do what they would without this. It does nothing in
    another thread than the main one, and leaves a signal alone that something else handles or
    ignores.

    Raises:
        Interrupted: After a signal, in place of an error that follows from it, such as that of a
            pool whose workers got it too.
    """
    handler, mine = _Handler(), []
    if threading.current_thread() is threading.main_thread():
        mine = [n for n, default in _DEFAULTS.items() if signal.getsignal(n) is default]
    for number in mine:
        signal.signal(number, handler)
    try:
        yield
    except Exception as error:
        if handler.latest is not None:
            raise Interrupted(handler.number) from error
        raise
    finally:
        for number in mine:
            signal.signal(number, _DEFAULTS[number])


def end_at_once() -> None:
    """From now on SIGTERM ends this process at once, in :func:`interrupted_by_signals` too."""
    _restore(signal.SIGTERM)


def _restore(*numbers: signal.Signals) -> None:
    for number in numbers:
        if isinstance(signal.getsignal(number), _Handler):
            signal.signal(number, _DEFAULTS[number])


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=lambda: _restore(*_DEFAULTS))
