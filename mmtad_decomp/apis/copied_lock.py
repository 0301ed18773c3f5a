"""A lock that can be copied with what it guards."""

from __future__ import annotations

import threading


class CopiedLock:
    """A lock whose copies, also those in other processes, are locks of their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[CopiedLock], tuple[()]]:
        return type(self), ()
