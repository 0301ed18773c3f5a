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


def end_parent_and_wait(folder: Path) -> None:
    """Leave a file of this process's name, and end the one that waits for it."""
    (folder / str(os.getpid())).touch()
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
