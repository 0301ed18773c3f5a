"""File names that come from data, such as video ids."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath


class UnsafeNameError(ValueError):
    """A name from a data file leads out of the folder that its file belongs in."""


def path_below(folder: str | Path, name: str, where: str = 'name') -> Path:
    """The path of a name within a folder; slashes in the name lead into its subfolders.

    Args:
        folder: The folder.
        name: Such as a video id and an ending.
        where: What the name is, for the message.

    Raises:
        UnsafeNameError: If the name is empty, absolute, has a part ``..`` or a null character.
    """
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(name)
        if path.anchor or '..' in path.parts or not path.parts or '\0' in name:
            raise UnsafeNameError(
                f'{where} {name!r} cannot name a file in a folder; use one without "..", without '
                'a null character and without a slash or drive at its beginning'
            )
    return Path(folder, name)


def as_unicode(name: str) -> str:
    """A file name as text that UTF-8 can hold: of a byte that is no UTF-8, ``%E9`` is left.

    Python holds such bytes of names as lone surrogates, which neither UTF-8 nor JSON allows. In
    addresses of files they are written in the same way.
    """
    return re.sub('[\ud800-\udfff]', lambda match: f'%{ord(match[0]) & 0xFF:02X}', name)
