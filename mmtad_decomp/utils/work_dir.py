"""Work directories: who uses one, and the checkpoint in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .atomic import process_runs

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 10.0
"""Seconds in which the data loader's workers of a killed training end by themselves."""


class WorkDirInUseError(RuntimeError):
    """Another process uses the work directory."""


class WorkDirLock:
    """One user at a time of a work directory; give it back by :meth:`release` or ``with``.

    Processes that are started may inherit the lock, and then hold it until they end. A file system
    without locks, and Windows, lock nothing.

    Args:
        folder: The work directory; made if needed.
        user: Who uses it, for the message.

    Raises:
        WorkDirInUseError: If another process holds it.
    """

    def __init__(self, folder: str | Path, user: str = 'training') -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / '.lock'
        self.file = open(self.path, 'a+', encoding='utf-8')  # noqa: SIM115
        begin = time.monotonic()
        while not _lock(self.file):
            holders = self._holders()
            if any(map(process_runs, holders[:1])) or time.monotonic() - begin > _PATIENCE:
                self.file.close()
                raise WorkDirInUseError(
                    f'{folder} is in use by another {user} or by processes that a killed one left '
                    f'(process ids {" ".join(map(str, holders))}); wait for them, or end them'
                )
            time.sleep(0.2)
        self.file.truncate(0)
        self.note(os.getpid())

    def _holders(self) -> list[int]:
        self.file.seek(0)
        return [int(word) for word in self.file.read().split()]

    def note(self, pid: int) -> None:
        """Write down a process that holds the lock."""
        self.file.write(f'{pid}\n')
        self.file.flush()

    def release(self) -> None:
        """Give the lock back."""
        self.file.close()

    def __enter__(self) -> WorkDirLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextlib.contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder while a file in it is read and written; waits for other holders.

    It leaves no file behind. A file system without locks, and Windows, lock nothing.

    Args:
        folder: Made if needed.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def file_lock(path: str | Path) -> Iterator[None]:
    """Hold a lock file, which is there as long as it is held or waited for; waits for the holder.

    The file of a killed holder may stay, but is not held. A file system without locks, and
    Windows, lock nothing.

    Args:
        path: The lock file; its folder is made if needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait_for(descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it: others lock the next one
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # forked processes may have it open
        os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    """Lock an open file; does nothing where the file system has no locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _lock(file: IO[str]) -> bool:
    """Try to lock a file; True if it is locked, or cannot be."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True


def resolve_checkpoint(path: str | Path) -> str:
    """The checkpoint that a path means: the file itself, or a work directory's latest.

    Args:
        path: A checkpoint file (or an address, which is returned as it is), or a work directory
            whose ``last_checkpoint`` names its latest checkpoint.

    Raises:
        FileNotFoundError: If there is no checkpoint.
    """
    if '://' in str(path):
        return str(path)
    path = Path(path)
    if path.is_file():
        return str(path)
    latest = latest_checkpoint(path)
    if latest is None:
        raise FileNotFoundError(
            f'checkpoint {path} does not exist (neither a file nor a work directory with a '
            '`last_checkpoint`); train the model that writes it first, or set the path to one '
            'that does'
        )
    return latest


def latest_checkpoint(folder: str | Path) -> str | None:
    """The checkpoint that a work directory's ``last_checkpoint`` names; None without that file.

    ``last_checkpoint`` holds an absolute path, so a copied or moved directory names a file of the
    place that it came from. The file of the same name in the directory itself comes first.

    Raises:
        FileNotFoundError: If there is no such file in either place.
    """
    note = Path(folder, 'last_checkpoint')
    if not note.is_file():
        return None
    named = note.read_text(encoding='utf-8').strip()
    if '://' in named:
        return named
    for candidate in (Path(folder, Path(named).name), Path(named)):
        if candidate.is_file():
            return str(candidate)
    raise FileNotFoundError(
        f'{note} names {named}, which does not exist; name another checkpoint of {folder}'
    )
