"""Zip archives of doubtful origin."""

from __future__ import annotations

import zipfile
import zlib

ARCHIVE_ERRORS = (
    KeyError,
    ValueError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What reading a damaged archive, or an array in it, raises."""

_LARGE = 64 << 20
_RATIO = 500
"""Deflate reaches about 1,000; arrays that mean something stay far below this."""


def refuse_bombs(archive: zipfile.ZipFile) -> None:
    """Check that no large member of an archive is compressed beyond measure.

    Raises:
        zipfile.BadZipFile: If one of more than 64 MiB would be more than 500 times its size in the
            file.
    """
    for member in archive.infolist():
        if member.file_size > max(_LARGE, _RATIO * member.compress_size):
            raise zipfile.BadZipFile(
                f'member {member.filename} would become {member.file_size} bytes out of '
                f'{member.compress_size}: a zip bomb'
            )
