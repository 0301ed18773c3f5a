"""Loading checkpoints without running code from them."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .archives import ARCHIVE_ERRORS, demand_intact, refuse_bombs

_HARMLESS = re.compile(
    r'torch\._utils\._rebuild_\w+|torch\.\w*Storage|torch\.storage\.\w+|torch\.\w+\d+'
    r'|torch\.(Size|Tensor|device|bool)|torch\.nn\.parameter\.Parameter|_codecs\.encode'
    r'|collections\.(OrderedDict|Counter)|numpy\.(ndarray|dtype)'
    r'|numpy\._?core\.multiarray\.(_reconstruct|scalar)'
    r'|mmengine\.logging\.history_buffer\.HistoryBuffer'
)
"""Globals that weights, arrays and MMEngine's history buffers are made of."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and the fix."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint's pickle asks for more than tensors and plain types."""


class CorruptCheckpointError(CheckpointError):
    """A checkpoint is damaged, truncated or not one."""


class _Legacy:
    allowed = False


def allow_legacy_checkpoints() -> contextlib.ExitStack:
    """Let pickles run code from now on (``--legacy-checkpoint``): only for trusted files.

    Returns:
        A context manager that, if used as one, restores the former state at its end.
    """
    before, stack = _Legacy.allowed, contextlib.ExitStack()
    _Legacy.allowed = True
    stack.callback(setattr, _Legacy, 'allowed', before)
    return stack


def _history_buffer_method(owner: type, name: str) -> object:
    """Stands in for ``getattr``, with which MMEngine's history buffers pickle their methods."""
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr of {owner!r}, {name!r}')


def _mmengine_globals() -> list:
    """Types in MMEngine's own checkpoints beyond weights; none of it runs code of the file."""
    rebuild, scalar = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    named = [
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for function, name in ((rebuild, '_reconstruct'), (scalar, 'scalar'))
    ]
    dtypes = {type(np.dtype(code)) for code in np.typecodes['AllInteger'] + 'efdFD?SU'}
    getter = (_history_buffer_method, 'builtins.getattr')
    return [HistoryBuffer, getter, np.ndarray, np.dtype, *named, *dtypes]


def _names_of_one_pickle(stream: BinaryIO) -> Iterator[str]:
    strings = ['', '']
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ('GLOBAL', 'INST'):
            yield str(argument).replace(' ', '.')
        elif opcode.name == 'STACK_GLOBAL':
            yield '.'.join(strings[-2:])
        elif isinstance(argument, str):
            strings.append(argument)


def _is_archive(path: Path) -> bool:
    """Whether ``torch.load`` takes a file for a zip archive."""
    with open(path, 'rb') as file:
        return file.read(4) == b'PK\3\4'


def _pickled_names(path: Path) -> list[str]:
    """Globals beyond weights that a file's pickle names, found without running it."""
    if _is_archive(path):
        with zipfile.ZipFile(path) as archive:
            refuse_bombs(archive)
            inside = [name for name in archive.namelist() if name.endswith('data.pkl')]
            content = archive.read(inside[0]) if inside else b''
    else:
        content = path.read_bytes()
    stream, names = io.BytesIO(content), []
    try:
        while stream.tell() < len(content):  # The old format holds several pickles in a row.
            for name in _names_of_one_pickle(stream):
                names.append(name)
    except ValueError:
        pass
    return sorted({name for name in names if not _HARMLESS.fullmatch(name)})


def _explain(path: Path, error: Exception) -> CheckpointError:
    names = []
    if not isinstance(error, zipfile.BadZipFile):  # otherwise a damaged archive, as below
        with contextlib.suppress(*ARCHIVE_ERRORS):
            names = _pickled_names(path)
    if names:
        return UnsafeCheckpointError(
            f'checkpoint {path} is refused: its pickle asks for {", ".join(names)}, and loading '
            'that may run code of whoever wrote the file. If you trust its origin, pass '
            '--legacy-checkpoint to tools/train.py or tools/test.py, or allow_pickle=True to '
            'load_checkpoint'
        )
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return CorruptCheckpointError(
        f'checkpoint {path} ({path.stat().st_size} bytes) cannot be read; it is damaged, '
        f'truncated or was not written by torch.save. Copy or train it again. ({reason})'
    )


def load_checkpoint(
    path: str | Path,
    allow_pickle: bool = False,
    map_location: str | torch.device | None = 'cpu',
) -> dict:
    """Read a checkpoint file as data.

    Tensors, plain types and what MMEngine itself puts into its checkpoints (history buffers,
    arrays) are read; a pickle that names anything else is refused before it runs. So is a zip
    archive, the format of ``torch.save`` since PyTorch 1.6, whose content does not have the
    CRC-32 that it was written with.

    Args:
        path: The file.
        allow_pickle: Run the pickle whatever it asks for; only for files of trusted origin.
            :func:`allow_legacy_checkpoints` sets it for all calls.
        map_location: See :func:`torch.load`.

    Returns:
        The checkpoint, or the bare state dict that the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the pickle would run code.
        CorruptCheckpointError: If the file is damaged, truncated or no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'checkpoint {path} does not exist; train the model that writes it, or set the path '
            '(`load_from`, `resume`, a teacher or `init_cfg`) to one that does'
        )
    try:
        if _is_archive(path):
            with zipfile.ZipFile(path) as archive:
                refuse_bombs(archive)
                demand_intact(archive)
        if allow_pickle or _Legacy.allowed:
            content = torch.load(path, map_location=map_location, weights_only=False)
        else:
            with torch.serialization.safe_globals(_mmengine_globals()):
                content = torch.load(path, map_location=map_location, weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # Damaged files fail in many ways; what is not the file's fault concerns a device.
        if 'CUDA' in str(error):
            raise
        raise _explain(path, error) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'checkpoint {path} holds a {type(content).__name__}, not a dict or state dict'
        )
    return content
