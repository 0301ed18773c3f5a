"""Computing ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar('Item')
_END = object()
_GRACE = 1.0
"""Seconds that a reader who goes waits for the thread."""


def prefetch(items: Iterable[Item], size: int = 2) -> Iterator[Item]:
    """Iterate over ``items`` in a thread of its own, up to ``size`` items ahead of the reader.

    Decoding and a network both release Python's lock, so that they run side by side. An error of
    ``items`` is raised where the item was to come. Closing the generator ends the thread; where
    that waits for a source that sends nothing, it ends with the next item.

    Args:
        items: What to iterate over; nothing else may use it.
        size: Items that wait at most.

    Raises:
        ValueError: If ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f'prefetch needs size >= 1, got {size}')
    return _read(items, queue.Queue(size), threading.Event())


def _read(items: Iterable[Item], ready: queue.Queue, stop: threading.Event) -> Iterator[Item]:
    thread = threading.Thread(target=_fill, args=(items, ready, stop), daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        while not ready.empty():
            ready.get_nowait()
        thread.join(_GRACE)


def _fill(items: Iterable, ready: queue.Queue, stop: threading.Event) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if not _put(ready, (item, None), stop):
                return
        _put(ready, (_END, None), stop)
    except BaseException as error:  # handed to the reader
        _put(ready, (None, error), stop)
    finally:
        if hasattr(iterator, 'close'):
            iterator.close()


def _put(ready: queue.Queue, entry: tuple, stop: threading.Event) -> bool:
    """Hand an entry over; False once the reader has gone."""
    while not stop.is_set():
        try:
            ready.put(entry, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
