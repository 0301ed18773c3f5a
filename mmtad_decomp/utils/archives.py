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

_FOLDER = 0x10
"""Attribute of MS-DOS in a member's ``external_attr``."""


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


def refuse_larger(member: zipfile.ZipInfo, size: int) -> None:
    """Check that a member holds no more than its reader needs, however well it is compressed.

    Args:
        member: Of an archive.
        size: Largest number of bytes that it may become.

    Raises:
        zipfile.BadZipFile: If it would become more.
    """
    if member.file_size > size:
        raise zipfile.BadZipFile(
            f'member {member.filename} would become {member.file_size} bytes, no more than {size} '
            'are right'
        )


def demand_intact(archive: zipfile.ZipFile) -> None:
    """Check that an archive of ``torch.save`` holds what was written.

    It has a CRC-32 of each member, which ``torch.load`` does not read. If all of them are zero,
    the archive has none (``torch.serialization.set_crc32_options(False)``) and they are not
    compared. Members marked as folders, which ``torch.save`` never writes, are refused:
    ``torch.load`` makes tensors of them from memory that nothing was written to.

    Raises:
        zipfile.BadZipFile: If a member is damaged; the message names it.
    """
    members = archive.infolist()
    for member in members:
        if member.external_attr & _FOLDER:
            raise zipfile.BadZipFile(f'member {member.filename} is marked as a folder')
    damaged = archive.testzip() if any(member.CRC for member in members) else None
    if damaged is not None:
        raise zipfile.BadZipFile(f'the CRC-32 of member {damaged} is not that of its content')
