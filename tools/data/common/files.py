"""Files and folders that exist either whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def refuse_to_replace(target: Path, given: Iterable[str | Path]) -> None:
    """Refuse to write to a file that is read.

    Args:
        target: The file that will be written.
        given: Files and folders that the user named.

    Raises:
        ValueError: If ``target`` is one of them.
    """
    if target.resolve() in {Path(path).resolve() for path in given}:
        raise ValueError(f'{target} would be replaced, but it is read; name another --out')


@contextmanager
def _naming(path: Path, partial: Path) -> Iterator[None]:
    """Name ``path`` in errors of the operating system that name no file, or a temporary one."""
    try:
        yield
    except OSError as error:
        is_ours = str(error.filename or partial).startswith(str(partial))
        if error.errno is None or not is_ours:  # one with a text alone says it all
            raise
        raise OSError(error.errno, f'{error.strerror}; {path} is as before', str(path)) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it becomes ``path``.

    The temporary name keeps the suffix, because encoders choose the container by it, and does not
    depend on the process, so that the next run writes over what a killed one left behind. When
    the body raises, the temporary file is removed and ``path`` is left as it was.

    Raises:
        OSError: If it cannot be written; the error names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.stem}.partial{path.suffix}')
    try:
        with _naming(path, partial):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``; on success it replaces ``path``.

    The temporary name does not depend on the process, so what a killed run left behind is
    cleared by the next run.

    Raises:
        OSError: If it cannot be written; the error names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _naming(path, partial):
            partial.mkdir()
            yield partial
            if path.exists():
                shutil.rmtree(path)
            os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: str | Path, content: object) -> None:
    """Write JSON atomically, with one fixed formatting so equal content gives equal bytes."""
    with atomic_path(path) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        partial.write_text(text + '\n', encoding='utf-8')


def read_json(path: str | Path) -> dict:
    """Read a JSON object.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not valid JSON, or not an object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; check the path on the command line')
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} must hold a JSON object, got {type(content).__name__}')
    return content
