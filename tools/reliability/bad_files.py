"""Files that are wrong in many ways, and what reads them."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import probe_video
from mmtad_decomp.datasets.flow_store import read_flow, read_header, write_flow
from mmtad_decomp.datasets.transforms import LoadFeatures
from mmtad_decomp.datasets.video_reader import read_frames
from mmtad_decomp.evaluation.submission import load_submission
from mmtad_decomp.postprocessing import RawPredictions
from mmtad_decomp.postprocessing.detections import Detections
from mmtad_decomp.postprocessing.raw_predictions import VideoCandidates, write_raw_predictions
from mmtad_decomp.utils import load_checkpoint
from tools.config_reading import read_config

from .cases import SOURCE

CLASSES = ('a', 'b')
CHANNELS = 4


@dataclass(frozen=True)
class BadFile:
    """A file and its reader.

    Attributes:
        kind: Of the reader, for the table.
        name: What is wrong with the file.
        file: Its name.
        content: Its bytes.
        read: Reads it.
    """

    kind: str
    name: str
    file: str
    content: bytes
    read: Callable[[Path], object]


def damages(content: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """A file cut off, with bits flipped, parts zeroed, doubled or moved; named."""
    draw = random.Random(seed)
    size = len(content)
    for number in range(count):
        data, kind = bytearray(content), number % 5
        at = draw.randrange(size)
        if kind == 0:
            at = [0, 1, size - 1, size // 2, at][number // 5 % 5]
            yield f'cut off at {at} of {size} bytes', bytes(data[:at])
        elif kind == 1:
            flips = draw.choice([1, 1, 4, 64])
            for _ in range(flips):
                data[draw.randrange(size)] ^= 1 << draw.randrange(8)
            yield f'{flips} bits flipped (seed {number})', bytes(data)
        elif kind == 2:
            length = draw.randrange(1, max(2, size // 4))
            data[at : at + length] = bytes(len(data[at : at + length]))
            yield f'{length} bytes zeroed at {at}', bytes(data)
        elif kind == 3:
            noise = draw.randbytes(draw.randrange(1, 64))
            yield (
                f'{len(noise)} bytes of noise put in at {at}',
                bytes(data[:at] + noise + data[at:]),
            )
        else:
            yield f'moved by {at} bytes', bytes(data[at:] + data[:at])


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _bomb(name: str, size: int, head: bytes = b'') -> bytes:
    """An archive with a member of ``size`` zeros after ``head``."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, 'w', force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return stream.getvalue()


def _npy(shape: tuple[int, ...], dtype: str = '<f4', content: bytes = b'') -> bytes:
    """An array file whose header may not fit its content."""
    stream = io.BytesIO()
    header = dict(descr=dtype, fortran_order=False, shape=shape)
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


class Payload:
    """Makes a file when it is unpickled: the proof that a pickle ran."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.proof),)


def _written(folder: Path, name: str, write: Callable[[Path], object]) -> bytes:
    path = folder / name
    write(path)
    return path.read_bytes()


def annotation_files(_: Path) -> Iterator[BadFile]:
    """Annotation files."""
    video = dict(subset='training', duration=9.0, annotations=[dict(segment=[1, 2], label='a')])
    good = json.dumps(dict(classes=CLASSES, database=dict(v1=video, v2=video)), indent=1).encode()

    def case(name: str, content: bytes | str | dict) -> BadFile:
        if isinstance(content, dict):
            content = json.dumps(dict(database=dict(v=content)))
        content = content.encode() if isinstance(content, str) else content
        return BadFile('annotation JSON', name, 'ann.json', content, load_annotations)

    yield from (case(*damage) for damage in damages(good, 15, 1))
    yield case('empty', b'')
    yield case('UTF-16', good.decode().encode('utf-16'))
    yield case('100,000 brackets', '[' * 100_000)
    yield case('100,000 nested objects', '{"database":' * 100_000)
    yield case('a list', '[]')
    yield case('a number of 10,000 digits', '{"database": ' + '9' * 10_000 + '}')
    for name in ('../../x', '/etc/x', 'a/../../x', '..\\x', 'C:\\x', 'a\0b', '', '..'):
        yield case(f'video id {name!r}', json.dumps(dict(database={name: video})))
    for name, value in (
        ('duration NaN', dict(video, duration=float('nan'))),
        ('duration 1e400', dict(video, duration=10**400)),
        ('duration a list', dict(video, duration=[1])),
        ('fps 0', dict(video, fps=0)),
        ('annotations an object', dict(video, annotations={'a': 1})),
        ('segment of three', dict(video, annotations=[dict(segment=[1, 2, 3], label='a')])),
        ('segment of text', dict(video, annotations=[dict(segment=['1', 2], label='a')])),
        ('label a number', dict(video, annotations=[dict(segment=[1, 2], label=7)])),
        ('path a number', dict(video, path=7)),
    ):
        yield case(name, value)


def submission_files(_: Path) -> Iterator[BadFile]:
    """Files of detections."""
    row = dict(segment=[1.0, 2.0], score=0.5, label='a')
    good = json.dumps(dict(results=dict(v1=[row, row], v2=[row])), indent=1).encode()

    def case(name: str, content: bytes | str | dict) -> BadFile:
        if isinstance(content, dict):
            content = json.dumps(dict(results=dict(v=[content])))
        content = content.encode() if isinstance(content, str) else content
        read = lambda path: load_submission(path, CLASSES)  # noqa: E731
        return BadFile('submission JSON', name, 'sub.json', content, read)

    yield from (case(*damage) for damage in damages(good, 15, 2))
    yield case('empty', b'')
    yield case('100,000 nested objects', '{"results":' * 100_000)
    yield case('a score of 10,000 digits', good.decode().replace('0.5', '9' * 10_000, 1))
    for name, value in (
        ('score NaN', dict(row, score=float('nan'))),
        ('score 1e400', dict(row, score=10**400)),
        ('score text', dict(row, score='0.5')),
        ('segment of one', dict(row, segment=[1])),
        ('unknown label', dict(row, label='zzz')),
        ('label a list', dict(row, label=['a'])),
    ):
        yield case(name, value)


def feature_files(proof: Path) -> Iterator[BadFile]:
    """Features."""
    array = np.random.default_rng(0).random((9, CHANNELS), dtype=np.float32)

    def case(name: str, content: bytes, file: str = 'v.npy') -> BadFile:
        load = LoadFeatures(CHANNELS).transform
        read = lambda path: load(dict(path=str(path), video_id='v'))  # noqa: E731
        return BadFile('features', name, file, content, read)

    yield from (case(*damage) for damage in damages(_saved(array), 10, 3))
    packed = _zip(**{'feats.npy': _saved(array)})
    yield from (case(*damage, file='v.npz') for damage in damages(packed, 10, 4))
    yield case(
        'an object array that runs code', _saved(np.array([[Payload(proof)]], dtype=object))
    )
    yield case('a pickle that runs code', pickle.dumps(Payload(proof)))
    yield case('8 TB promised', _npy((1 << 31, 1 << 10)))
    yield case('a negative shape', _npy((-1, CHANNELS)))
    yield case('NaN', _saved(np.full_like(array, np.nan)))
    yield case('of text', _saved(np.full((9, CHANNELS), 'x')))
    yield case('of no steps', _saved(array[:0]))
    yield case('of another width', _saved(array[:, :2]))
    yield case('of one dimension', _saved(array[0]))
    head = _npy((1 << 24, CHANNELS))
    yield case('a bomb of 256 MiB', _bomb('feats.npy', 1 << 28, head), 'v.npz')
    yield case(
        '8 TB promised in an archive', _zip(**{'feats.npy': _npy((1 << 31, 1024))}), 'v.npz'
    )
    yield case('two arrays', _zip(**{'x.npy': _saved(array), 'y.npy': _saved(array)}), 'v.npz')
    yield case('a member ../../x', _zip(**{'../../x.npy': _saved(array)}), 'v.npz')
    yield case('an array that is none', _zip(**{'feats.npy': b'text'}), 'v.npz')


def prediction_files(proof: Path) -> Iterator[BadFile]:
    """Raw predictions."""
    window = Detections(np.array([[0.0, 1.0]]), np.array([0.5]), np.array([0]))
    video = VideoCandidates('v', 9.0, [window], np.array([[0.0, 9.0]]))
    videos = [video, video._replace(video_id='w')]
    write = lambda path: write_raw_predictions(path, CLASSES, videos)  # noqa: E731
    good = _written(proof.parent, 'good.npz', write)

    def read(path: Path) -> object:
        with RawPredictions(path) as file:
            return [file.read(name) for name in file.video_ids]

    for name, content in damages(good, 15, 5):
        yield BadFile('raw predictions', name, 'raw.npz', content, read)
    bomb = _bomb('version.npy', 1 << 28, _npy((1 << 28,), '|u1'))
    yield BadFile('raw predictions', 'a bomb of 256 MiB', 'raw.npz', bomb, read)
    yield BadFile('raw predictions', 'no arrays', 'raw.npz', _zip(), read)


def flow_files(proof: Path) -> Iterator[BadFile]:
    """Optical flow."""
    flow = np.random.default_rng(0).random((40, 6, 8, 2), dtype=np.float32)
    write = lambda path: write_flow(path, iter(flow), 'dis', 10.0, None)  # noqa: E731
    good = _written(proof.parent, 'flow.npz', write)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members['header.json'])

    def read(path: Path) -> object:
        return read_flow(path, 0, min(read_header(path).steps, 40))

    def changed(**fields: object) -> bytes:
        return _zip(**{**members, 'header.json': json.dumps({**header, **fields}).encode()})

    for name, content in damages(good, 15, 6):
        yield BadFile('flow', name, 'flow.npz', content, read)
    for name, content in (
        ('steps of text', changed(steps='40')),
        ('a height of 10 million', changed(height=10_000_000)),
        ('chunks of 0', changed(chunk=0)),
        ('fps NaN', changed(fps=float('nan'))),
        ('an unknown field', changed(more=1)),
        ('another format', changed(format=9)),
        ('a header nested 100,000 deep', _zip(**{**members, 'header.json': b'[' * 100_000})),
        ('8 TB promised', _zip(**{**members, '000000.npy': _npy((1 << 31, 1 << 11), '<i2')})),
        ('no pieces', _zip(**{'header.json': members['header.json']})),
        ('a bomb of 256 MiB', _bomb('header.json', 1 << 28)),
    ):
        yield BadFile('flow', name, 'flow.npz', content, read)


def flipped_weights(content: bytes, weights: bytes) -> Iterator[tuple[str, bytes]]:
    """A checkpoint with one bit of its weights flipped, at places all over them; named."""
    begin = content.index(weights)
    for place in range(0, 8 * len(weights), 97):
        data, (byte, bit) = bytearray(content), divmod(place, 8)
        data[begin + byte] ^= 1 << bit
        yield f'bit {bit} of byte {byte} of the weights flipped', bytes(data)


def checkpoint_files(proof: Path) -> Iterator[BadFile]:
    """Checkpoints."""
    weight = torch.arange(64.0)
    stream, odd, old = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(dict(state_dict=dict(weight=weight)), stream)
    torch.save(dict(state_dict={}, odd=Payload(proof)), odd)
    torch.save(dict(odd=Payload(proof)), old, _use_new_zipfile_serialization=False)
    good = stream.getvalue()
    for name, content in (
        *damages(good, 15, 7),
        *flipped_weights(good, weight.numpy().tobytes()),
        ('a pickle that runs code', odd.getvalue()),
        ('the same in the old format', old.getvalue()),
        ('a bare pickle that runs code', pickle.dumps(Payload(proof))),
        ('50,000 nested lists', b'\x80\x02' + b']' * 50_001 + b'a' * 50_000 + b'.'),
        ('50,000 nested tuples', b'\x80\x02' + b')' + b'\x85' * 50_000 + b'.'),
        ('a string of 2 GiB promised', b'\x80\x04\x8d' + (1 << 31).to_bytes(8, 'little') + b'x'),
        ('a bomb of 256 MiB', _bomb('archive/data.pkl', 1 << 28)),
        ('a member ../../x', _zip(**{'../../x/data.pkl': b'\x80\x02}.', 'x/version': b'3'})),
        ('text', b'not a checkpoint'),
        ('a picture', b'\x89PNG\r\n\x1a\n' + bytes(99)),
    ):
        yield BadFile('checkpoint', name, 'x.pth', content, load_checkpoint)


def config_files(proof: Path) -> Iterator[BadFile]:
    """Configs. A config is Python code that its user runs, so only mistakes are tried."""
    for name, file, text in (
        ('a syntax error', 'c.py', 'model = dict('),
        ('an unknown name', 'c.py', 'model = nothing'),
        ('division by zero', 'c.py', 'model = 1 / 0'),
        ('an exception of its own', 'c.py', 'raise RuntimeError("no")'),
        ('a missing base', 'c.py', "_base_ = './none.py'"),
        ('a base of itself', 'c.py', "_base_ = './c.py'"),
        ('a base of a list of numbers', 'c.py', '_base_ = [1, 2]'),
        ('a missing import', 'c.py', 'import no_such_module'),
        ('binary', 'c.py', '\0\1\2'),
        ('an attribute of a missing key', 'c.py', '_base_ = []\nx = {{_base_.nothing}}'),
        ('broken JSON', 'c.json', '{"model": '),
        ('broken YAML', 'c.yaml', 'model: [1, 2'),
        ('YAML that runs code', 'c.yaml', f'model: !!python/object/apply:os.mkdir [{proof}]'),
        ('an unknown ending', 'c.txt', 'model = 1'),
        ('nested 1,000 deep', 'c.py', f'model = {"[" * 1000}{"]" * 1000}'),
    ):
        yield BadFile('config', name, file, text.encode(), lambda path: read_config(str(path)))


def video_files(_: Path) -> Iterator[BadFile]:
    """Videos: fifty damages of one, and files that are none."""
    good = next((SOURCE / 'videos').glob('*.mp4')).read_bytes()

    def read(path: Path) -> object:
        info = probe_video(path)
        return read_frames(path, range(min(info.num_frames, 200)), float(info.fps), 16)

    for name, content in damages(good, 46, 8):
        yield BadFile('video', name, 'v.mp4', content, read)
    for name, content in (
        ('empty', b''),
        ('text', b'no video'),
        ('a header only', good[:48]),
        ('a picture', b'\x89PNG\r\n\x1a\n' + bytes(99)),
    ):
        yield BadFile('video', name, 'v.mp4', content, read)


GENERATORS = {
    'annotation JSON': annotation_files,
    'submission JSON': submission_files,
    'features': feature_files,
    'raw predictions': prediction_files,
    'flow': flow_files,
    'checkpoint': checkpoint_files,
    'config': config_files,
    'video': video_files,
}
"""Makers of files by kind; each is given a path that must never come to exist."""
