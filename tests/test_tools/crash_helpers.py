"""A function for worker processes, in a module that they import in no time."""

import os


def crash(item: int) -> int:
    """Item 1 kills its process, item 2 raises, the others return."""
    if item == 1:
        os._exit(1)
    if item == 2:
        raise ValueError('item 2 is bad')
    return 10 * item
