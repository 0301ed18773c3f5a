"""Finding the checkpoint of a training by its work directory."""

from __future__ import annotations

from pathlib import Path


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
    note = path / 'last_checkpoint'
    if not note.is_file():
        raise FileNotFoundError(
            f'checkpoint {path} does not exist (neither a file nor a work directory with a '
            '`last_checkpoint`); train the model that writes it first, or set the path to one '
            'that does'
        )
    named = Path(note.read_text(encoding='utf-8').strip())
    for candidate in (named, path / named.name):
        if candidate.is_file():
            return str(candidate)
    raise FileNotFoundError(
        f'{note} names {named}, which does not exist; name another checkpoint of {path}'
    )
