"""Letting glibc keep memory that was freed."""

from __future__ import annotations

import ctypes
import os
import platform

from mmengine.logging import print_log

# Parameters by their number in glibc's malloc.h: no mmap, no trimming, and growth by 256 MiB.
_SETTINGS = {'M_MMAP_MAX': (-4, 0), 'M_TRIM_THRESHOLD': (-1, -1), 'M_TOP_PAD': (-2, 1 << 28)}


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next allocation; processes forked later do so too.

    By default glibc returns every large freed block to the kernel, and the next step's tensors
    are faulted in again page by page. Nothing changes if the C library is not glibc, or if the
    user has set ``MALLOC_MMAP_...``, ``MALLOC_TRIM_...``, ``MALLOC_TOP_...`` or malloc's
    ``GLIBC_TUNABLES``, or has preloaded another allocator.

    Returns:
        Whether the setting was made.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    settings = [f'{name}={value}' for name, value in os.environ.items()]
    chosen = [text for text in settings if _is_choice(text)]
    if chosen:
        print_log(f'malloc: as set by {", ".join(sorted(chosen))}', logger='current')
        return False
    mallopt = ctypes.CDLL(None).mallopt
    done = all(mallopt(*setting) == 1 for setting in _SETTINGS.values())
    if done:
        values = ', '.join(f'{name}={value}' for name, (_, value) in _SETTINGS.items())
        print_log(f'malloc: keeps freed memory ({values})', logger='current')
    return done


def _is_choice(text: str) -> bool:
    """Whether ``NAME=value`` of the environment chooses how malloc works."""
    if text.startswith(('MALLOC_MMAP_', 'MALLOC_TRIM_', 'MALLOC_TOP_')):
        return True
    return text.startswith(('GLIBC_TUNABLES=', 'LD_PRELOAD=')) and 'malloc' in text
