"""Functions for worker processes, in a module that they import in no time."""

import os
import signal
import time
from pathlib import Path


def crash(item: int) -> int:
    """Item 1 kills its process, item 2 raises, the others return."""
    if item == 1:
        os._exit(1)
    if item == 2:
        raise ValueError('item 2 is bad')
    return 10 * item


def end_parent_and_wait(place: tuple[Path, int]) -> None:
    """Leave a file of this process's name, and send a signal to the one that waits for it.

    SIGINT comes to this process as well, as in a terminal.
    """
    folder, number = place
    (folder / str(os.getpid())).touch()
    if number == signal.SIGINT:
        os.kill(os.getpid(), number)
    os.kill(os.getppid(), number)
    time.sleep(60)
