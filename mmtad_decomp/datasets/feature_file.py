"""Files of features: ``(steps, channels)`` in a ``.npy`` or, by the key ``feats``, a ``.npz``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tokenize import TokenError

import numpy as np

from mmtad_decomp.utils import ARCHIVE_ERRORS, refuse_bombs

from .video_stream import VideoReadError

_ERRORS = (*ARCHIVE_ERRORS, MemoryError, OverflowError, TokenError)
"""What a damaged file raises; the last two come from the header of an array."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def open_features(path: str) -> np.ndarray:
    """The array in a file; of a ``.npy`` only the rows that are used are read.

    Args:
        path: ``.npy``, or ``.npz`` with the key ``feats`` or a single array.

    Returns:
        The array as it is stored, read-only. That of a ``.npy`` is mapped into memory.

    Raises:
        VideoReadError: If the file cannot be read.
    """
    with _explained(path):
        content = np.load(path, mmap_mode='r')
        if not isinstance(content, np.lib.npyio.NpzFile):
            return content
        with content:
            array = content[_only_key(content)]
            if not isinstance(array, np.ndarray):
                raise ValueError('it holds something else than arrays')
            return array


def feature_steps(path: str) -> int:
    """Steps of the features in a file, at least one, of which only the header is read.

    Args:
        path: See :func:`open_features`.

    Raises:
        VideoReadError: If the file cannot be read, or does not hold ``(steps, channels)``.
    """
    with _explained(path):
        content = np.load(path, mmap_mode='r')
        if isinstance(content, np.lib.npyio.NpzFile):
            with content, content.zip.open(f'{_only_key(content)}.npy') as file:
                shape = _HEADERS[np.lib.format.read_magic(file)](file)[0]
        else:
            shape = content.shape
    if len(shape) != 2 or shape[0] < 1:
        raise VideoReadError(
            f'features {path} have shape {shape}, wanted (steps, channels); extract them again'
        )
    return shape[0]


def _only_key(content: np.lib.npyio.NpzFile) -> str:
    refuse_bombs(content.zip)
    keys = content.files
    if 'feats' not in keys and len(keys) != 1:
        raise ValueError(f'its arrays are {keys}: which one is "feats"?')
    return 'feats' if 'feats' in keys else keys[0]


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise VideoReadError(
            f'features {path} cannot be read ({error}); extract them again'
        ) from error
