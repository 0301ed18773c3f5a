"""SIGTERM, by which Docker, Slurm and systemd end a command, as an exception like Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_REPEATED = 1.0
"""Seconds in which further signals count as one: `timeout` sends two at once."""


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

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.latest is None or now - self.latest > _REPEATED:
            self.latest = now
            raise Interrupted(number)


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM raises :class:`Interrupted`, so that what is begun is cleaned up or written.

    Processes that are forked meanwhile end at once by the signal, as they would without this. It
    does nothing in another thread than the main one, and where something else handles or ignores
    the signal.

    Raises:
        Interrupted: After the signal, in place of an error that follows from it, such as that of
            a pool whose workers got it too.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    handler = _Handler()
    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    except Exception as error:
        if handler.latest is not None:
            raise Interrupted(signal.SIGTERM) from error
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_at_once() -> None:
    """From now on SIGTERM ends this process at once, inside :func:`interrupted_by_sigterm` too."""
    if isinstance(signal.getsignal(signal.SIGTERM), _Handler):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=end_at_once)
