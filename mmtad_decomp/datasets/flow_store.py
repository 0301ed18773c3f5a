"""Optical flow on disk: one compact file per video, read by window.

A file is a zip archive that ``numpy.load`` opens too: ``header.json`` (see :class:`FlowHeader`)
and the flow in pieces of :data:`CHUNK` steps, ``000000.npy`` and so on, each ``(steps, 2, H, W)``
int16 in units of :data:`UNIT` pixels, x first. Most of a video stands still, so that deflate makes
a piece about a tenth of its size, and a window needs no more than the pieces that it touches.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmtad_decomp.utils import ARCHIVE_ERRORS, atomic_write, refuse_larger

from .video_stream import VideoReadError

UNIT = 1 / 64
"""Pixels that one stored unit stands for; rounding moves no value by more than half of it."""
CHUNK = 32
"""Steps that are compressed together."""
LARGEST_BOUND = np.iinfo(np.int16).max * UNIT
"""Pixels beyond which int16 cannot hold a displacement."""

_FORMAT = 1
_HEADER = 'header.json'
_HEADER_SIZE = 1 << 16
"""Bytes that the header, and that of a piece's array, may have."""
_PIECE_SIZE = 1 << 31
"""Bytes of a piece; :func:`write_flow` can write no larger one, which is 16 million pixels."""


@dataclass(frozen=True)
class FlowHeader:
    """Header of a flow file.

    Attributes:
        method: Estimator of the flow.
        fps: Frames per second between which the flow was estimated.
        steps: Number of flow fields, that of the video's frames at ``fps``.
        height: Pixels.
        width: Pixels.
        short_side: Pixels to which the shorter side was scaled; None is the video's own size.
        bound: Displacements were clipped to ``[-bound, bound]`` pixels.
        clipped: Share of the values that were.
        rms: Root of the mean square of the displacements in x and y, in pixels.
        unit: Pixels that one stored unit stands for.
        chunk: Steps in a piece.
    """

    method: str
    fps: float
    steps: int
    height: int
    width: int
    short_side: int | None
    bound: float
    clipped: float
    rms: float
    unit: float = UNIT
    chunk: int = CHUNK

    @property
    def error(self) -> float:
        """Largest error of a displacement within the bound, in pixels."""
        return self.unit / 2


def write_flow(
    path: str | Path,
    flows: Iterable[np.ndarray],
    method: str,
    fps: float,
    short_side: int | None,
    bound: float = 20.0,
) -> FlowHeader:
    """Write a video's flow atomically, holding one piece in memory at a time.

    Args:
        path: The file.
        flows: Flow fields ``(H, W, 2)``, displacements x and y in pixels; at least one.
        method: See :class:`FlowHeader`.
        fps: See :class:`FlowHeader`.
        short_side: See :class:`FlowHeader`.
        bound: See :class:`FlowHeader`; above 0, at most :data:`LARGEST_BOUND`.

    Raises:
        ValueError: If the bound is out of range, a field has another shape than the one before or
            holds NaN or infinity, or there is none.
    """
    if not 0 < bound <= LARGEST_BOUND:
        raise ValueError(f'bound must be above 0 and at most {LARGEST_BOUND:g} px, got {bound}')
    steps, clipped, square, shape = 0, 0, 0.0, None
    with (
        atomic_write(path) as stream,
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for number, piece in enumerate(_pieces(flows)):
            shape = _checked_shape(piece, steps, shape)
            steps += len(piece)
            clipped += int((np.abs(piece) > bound).sum())
            square += float(np.square(piece, dtype=np.float64).sum())
            stored = np.rint(piece.clip(-bound, bound) / UNIT).astype(np.int16)
            with archive.open(_member(_piece_name(number)), 'w') as member:
                planes = np.ascontiguousarray(stored.transpose(0, 3, 1, 2))
                np.lib.format.write_array(member, planes, allow_pickle=False)
        if shape is None:
            raise ValueError(f'{path}: there is no flow to write')
        height, width = shape
        values = steps * height * width * 2
        header = FlowHeader(
            method=method,
            fps=float(fps),
            steps=steps,
            height=height,
            width=width,
            short_side=short_side,
            bound=float(bound),
            clipped=clipped / values,
            rms=(square / values) ** 0.5,
        )
        archive.writestr(_member(_HEADER), json.dumps(dict(format=_FORMAT, **asdict(header))))
    return header


def read_header(path: str | Path) -> FlowHeader:
    """Header of a flow file.

    Raises:
        FileNotFoundError: If there is no such file.
        VideoReadError: If it is not a flow file, or a damaged one.
    """
    with _open(path) as archive:
        return _header(archive, path)


def read_flow(path: str | Path, start: int, stop: int) -> np.ndarray:
    """Flow of the steps ``start`` to ``stop - 1``.

    Returns:
        ``(stop - start, H, W, 2)`` float32, x and y in pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        VideoReadError: If it is damaged or has not so many steps.
    """
    with _open(path) as archive:
        header = _header(archive, path)
        if not 0 <= start < stop <= header.steps:
            raise VideoReadError(
                f'flow {path} has {header.steps} steps, {start} to {stop} were asked for; extract '
                'it again with `tools/data/extract_flow.py --overwrite`'
            )
        parts = []
        for number in range(start // header.chunk, (stop - 1) // header.chunk + 1):
            first = number * header.chunk
            piece = _piece(archive, number, header, path)
            begin, end = max(start, first), min(stop, first + header.chunk)
            parts.append(piece[begin - first : end - first].transpose(0, 2, 3, 1))
    return np.concatenate(parts) * np.float32(header.unit)


def _pieces(flows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Stack flow fields by :data:`CHUNK`."""
    held: list[np.ndarray] = []
    for flow in flows:
        held.append(np.asarray(flow, dtype=np.float32))
        if held[-1].shape != held[0].shape:
            raise ValueError(
                f'flow fields are of different shapes: {held[0].shape} and {held[-1].shape}'
            )
        if len(held) == CHUNK:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _checked_shape(
    piece: np.ndarray, first: int, shape: tuple[int, int] | None
) -> tuple[int, int]:
    if piece.ndim != 4 or piece.shape[3] != 2 or shape not in (None, piece.shape[1:3]):
        raise ValueError(
            f'flow fields from step {first} on have shape {piece.shape[1:]}, wanted (H, W, 2) '
            f'with (H, W) = {shape}'
        )
    if not np.isfinite(piece).all():
        raise ValueError(f'the flow of steps {first} to {first + len(piece) - 1} is not finite')
    return piece.shape[1:3]


def _piece_name(number: int) -> str:
    return f'{number:06d}.npy'


def _member(name: str) -> zipfile.ZipInfo:
    """A member with a fixed date, so that equal flow gives equal bytes."""
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _damaged(path: str | Path, error: Exception) -> VideoReadError:
    return VideoReadError(
        f'flow {path} is damaged or no flow file ({error}); delete it and run '
        '`tools/data/extract_flow.py` again'
    )


def _open(path: str | Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _header(archive: zipfile.ZipFile, path: str | Path) -> FlowHeader:
    try:
        refuse_larger(archive.getinfo(_HEADER), _HEADER_SIZE)
        fields = json.loads(archive.read(_HEADER))
        version = fields.pop('format')
        if version != _FORMAT:
            raise ValueError(f'its format is {version}, this version reads {_FORMAT}')
        return _checked_header(FlowHeader(**fields))
    except (*ARCHIVE_ERRORS, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def _checked_header(header: FlowHeader) -> FlowHeader:
    wholes = ('steps', 'height', 'width', 'chunk')
    numbers = ('fps', 'bound', 'clipped', 'rms', 'unit')
    sound = (
        isinstance(header.method, str)
        and all(type(getattr(header, name)) is int for name in wholes)
        and all(getattr(header, name) > 0 for name in wholes)
        and all(type(getattr(header, name)) in (int, float) for name in numbers)
        and all(math.isfinite(getattr(header, name)) for name in numbers)
        and (header.short_side is None or type(header.short_side) is int)
        and _array_size(header, header.chunk) <= _PIECE_SIZE
    )
    if not sound:
        raise ValueError(f'{_HEADER} holds wrong values')
    return header


def _array_size(header: FlowHeader, steps: int) -> int:
    """Bytes of the flow of some steps; still scenes may be compressed to any part of them."""
    return steps * 2 * header.height * header.width * np.dtype(np.int16).itemsize


def _piece(
    archive: zipfile.ZipFile, number: int, header: FlowHeader, path: str | Path
) -> np.ndarray:
    steps = min(header.chunk, header.steps - number * header.chunk)
    try:
        stored = archive.getinfo(_piece_name(number))
        refuse_larger(stored, _HEADER_SIZE + _array_size(header, steps))
        with archive.open(stored) as member:
            piece = np.lib.format.read_array(member, allow_pickle=False)
    except (*ARCHIVE_ERRORS, MemoryError) as error:
        raise _damaged(path, error) from error
    if piece.dtype != np.int16 or piece.shape != (steps, 2, header.height, header.width):
        found = f'{_piece_name(number)} is {piece.dtype} of shape {piece.shape}'
        raise _damaged(path, ValueError(found))
    return piece
