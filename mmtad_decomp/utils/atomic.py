"""Files that are either complete or not there."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

TEMPORARY_SUFFIX = '.tmp'
LONGEST_NAME = 255
"""Bytes in the name of a file that most file systems allow."""


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; does nothing where a folder cannot be opened (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


@functools.cache
def _machine() -> str:
    """Stands for the processes among which an id is of one process only."""
    try:
        namespace = os.readlink('/proc/self/ns/pid')
    except OSError:
        namespace = ''
    return hashlib.sha256(f'{platform.node()} {namespace}'.encode()).hexdigest()[:8]


@functools.cache
def _remove_abandoned(folder: Path, process: int) -> None:
    """Remove temporary files whose writers, on this machine, were killed.

    Listing a folder takes milliseconds for every ten thousand files, hence once for each.

    Args:
        folder: Absolute path.
        process: This process. A fork has inherited what its parent remembers, and looks again.
    """
    written = re.compile(rf'\..+\.(\d+)-{_machine()}-[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}')
    with os.scandir(folder) as entries:
        found = [match for entry in entries if (match := written.fullmatch(entry.name))]
    for match in found:
        if not process_runs(int(match[1])):
            (folder / match[0]).unlink(missing_ok=True)


def process_runs(pid: int) -> bool:
    """Whether a process of this id runs on this machine.

    One that has ended does not, also if nobody takes note of its end, as in many containers.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # no /proc
        # After the name, which is in brackets, comes the state.
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return True


class OutputPathError(OSError):
    """A file that is to be written later cannot be."""


def _temporary_of(path: Path) -> Path:
    """A new name for the content of a file while it is being written; long names are cut."""
    ending = f'.{os.getpid()}-{_machine()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}'
    name = path.name
    while len(os.fsencode(f'.{name}{ending}')) > LONGEST_NAME:
        name = name[1:]  # remove_temporary_files looks at its ending
    return path.with_name(f'.{name}{ending}')


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = 'wb', **kwargs: Any) -> Iterator[IO]:
    """Open a file that appears under its name only once it is written completely.

    The content goes to ``.{name}.{random}.tmp`` in the same folder, is flushed to the disk and
    renamed over ``path``. After an exception the temporary file is removed and ``path`` is as
    before. After a kill the temporary file stays until a new process of the same machine writes to
    the folder (or see :func:`remove_temporary_files`).

    Args:
        path: The file; its folder is made where it is missing.
        mode: ``'wb'`` or ``'w'``.
        kwargs: Passed to :func:`open`.

    Yields:
        The open temporary file.

    Raises:
        OSError: If it cannot be written; the error names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent.absolute(), os.getpid())
    temporary = _temporary_of(path)
    try:
        with open(temporary, mode, **kwargs) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # On a full disk, writing names no file, and opening the temporary one.
        if isinstance(error, OSError) and str(error.filename) in ('None', str(temporary)):
            # NumPy says how many items it could not write, but not why.
            number, reason = error.errno or errno.ENOSPC, error.strerror or str(error)
            raise OSError(number, f'{reason}; {path} is as before', str(path)) from error
        raise
    _sync_folder(path.parent)


def demand_writable(path: str | Path, option: str) -> None:
    """Check that a file can be written later, by trying; nothing is left of it.

    Rights tell too little: root has all of them in folders that take no files, such as ``/proc``.

    Args:
        path: The file.
        option: Flag or config key that names it, for the message.

    Raises:
        OutputPathError: If the file is a folder or a device, its name is too long, or it cannot be
            made in its folder.
    """
    path = Path(path)
    if os.path.isdir(path):  # methods of Path raise for a name that is too long
        raise OutputPathError(f'{option} {path} is a folder; name a file in it')
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputPathError(f'{option} {path} is a device or a pipe; name a file')
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with contextlib.ExitStack() as stack:
            place = folder
            if folder != path.absolute().parent:  # whose name is its own: others may try, too
                place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            with contextlib.suppress(FileNotFoundError):
                os.stat(place / path.name)  # raises where the name is too long
            temporary = _temporary_of(place / path.name)
            with open(temporary, 'xb'):
                pass
            temporary.unlink()
    except OSError as error:
        state = f'cannot be written ({error.strerror})' if folder.is_dir() else 'is no folder'
        raise OutputPathError(
            f'{option} {path}: {folder} {state}; choose another place'
        ) from error


def demand_sources_kept(path: str | Path, sources: Iterable[str | Path]) -> None:
    """Check that a file can be written without replacing what it is made from.

    Args:
        path: The file that will be written.
        sources: Files that are read.

    Raises:
        OutputPathError: If ``path`` is one of them, under whatever name.
    """
    for source in sources:
        if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
            raise OutputPathError(
                f'{path} would be replaced, but it is what is read; name another file to write'
            )


def write_json(path: str | Path, content: object, **kwargs: Any) -> None:
    """Write JSON atomically; numbers keep every digit.

    Args:
        path: The file.
        content: A value that :func:`json.dump` can write; NaN and infinity are refused.
        kwargs: Passed to :func:`json.dump`.
    """
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(content, file, allow_nan=False, **kwargs)


def remove_temporary_files(folder: str | Path, names: str = '*') -> list[Path]:
    """Remove what killed writers left behind.

    Args:
        folder: Where to look; not recursive.
        names: Pattern of the file names that the writers were to write, such as ``'*.pth'``.

    Returns:
        The files removed.
    """
    leftovers = sorted(Path(folder).glob(f'.{names}.*-*{TEMPORARY_SUFFIX}'))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return leftovers
