"""Videos whose pictures show a number, with the clocks and marks of real files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_BITS = 12
_BASE = Fraction(1, 1000)


def picture(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """An ``(H, W, 3)`` picture: 12 bars for the number, below them a white left and black right.

    The lower half tells which way is up.
    """
    width, height = size
    bits = [255 * (number >> bit & 1) for bit in range(_BITS)]
    columns = np.array(bits, dtype=np.uint8)[np.arange(width) * _BITS // width]
    image = np.repeat(columns[None], height, 0)
    image[height // 2 :] = np.where(np.arange(width) < width // 2, 255, 0)
    return np.stack([image] * 3, axis=-1)


def number_of(image: np.ndarray) -> int:
    """The number in an upright picture of any size."""
    row = image[: image.shape[0] // 2].astype(float).mean(axis=(0, 2))
    step = len(row) / _BITS
    return sum(int(row[int((bit + 0.5) * step)] > 127) << bit for bit in range(_BITS))


def is_upright(image: np.ndarray) -> bool:
    """Whether the mark in the lower half is where :func:`picture` puts it."""
    lower = image[image.shape[0] * 3 // 4].astype(float).mean(axis=-1)
    half = len(lower) // 2
    return bool(lower[: half - 2].min() > 127 and lower[half + 2 :].max() < 127)


def record(
    path: Path,
    numbers: Sequence[int],
    times: Sequence[int] | None = None,
    sound: float = 0.0,
    codec: str = 'libx264',
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = 'yuv420p',
    rate: int = 25,
    turn: dict | None = None,
    last: int | None = None,
    container: dict | None = None,
    **options: str,
) -> Path:
    """Encode numbered pictures.

    Args:
        path: File to write.
        numbers: Number in each picture.
        times: Milliseconds of each picture; None spaces them by ``rate``.
        sound: Seconds of silence beside the pictures.
        codec: Encoder.
        size: Width and height.
        pix_fmt: Pixel format.
        rate: Pictures per second.
        turn: Arguments of PyAV's ``set_display_rotation``.
        last: Milliseconds that the last picture lasts as the file states it, beside ``times``;
            None leaves it to the encoder, which states ``1 / rate``.
        container: Options of the container.
        **options: Options of the encoder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec == 'libx264':
        options = {'crf': '12', 'preset': 'ultrafast', 'g': '12', 'bf': '0', **options}
    with av.open(str(path), 'w', options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = _BASE
        if turn is not None:
            stream.set_display_rotation(**turn)
        track = output.add_stream('aac', rate=44100) if sound else None
        for i, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format='rgb24')
            if times is not None:
                frame.pts, frame.time_base = times[i], _BASE
            output.mux(stream.encode(frame))
        for packet in stream.encode(None):
            if last is not None and packet.pts * packet.time_base >= times[-1] * _BASE:
                packet.duration = round(last * _BASE / packet.time_base)
            output.mux(packet)
        for start in range(0, int(44100 * sound), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), 'fltp', 'stereo')
            frame.sample_rate, frame.pts = 44100, start
            output.mux(track.encode(frame))
        if track is not None:
            output.mux(track.encode(None))
    return path


def variable_rate(path: Path) -> Path:
    """10 s at 30 pictures per second, then 10 s at 10; numbers are hundredths of a second."""
    times = [i / 30 for i in range(300)] + [10 + i / 10 for i in range(100)]
    numbers, stamps = ([round(t * unit) for t in times] for unit in (100, 1000))
    return record(path, numbers, stamps, rate=30, last=100)


def cut_without_encoding(source: Path, path: Path, start: float, stop: float) -> Path:
    """Copy packets from the key frame before ``start`` on; MP4 then hides what lies before it."""
    with av.open(str(source)) as file, av.open(str(path), 'w') as output:
        copies = {s.index: output.add_stream_from_template(s) for s in file.streams}
        file.seek(int(start * av.time_base))
        for packet in file.demux():
            if packet.dts is None or packet.pts * packet.time_base >= stop:
                continue
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.stream.type == 'audio' and packet.pts < 0:
                continue
            packet.stream = copies[packet.stream.index]
            output.mux(packet)
    return path


def with_other_pictures(source: Path, path: Path) -> Path:
    """Put a cover picture and a second, smaller video stream beside the default one."""
    with av.open(str(source)) as file, av.open(str(path), 'w') as output:
        cover = output.add_stream('mjpeg', rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic
        small = output.add_stream('mpeg4', rate=25)
        small.width, small.height, small.pix_fmt = 48, 32, 'yuv420p'
        small.disposition = 0
        main = output.add_stream_from_template(file.streams.video[0])
        main.disposition = av.stream.Disposition.default
        for stream, count in ((cover, 1), (small, 50)):
            shape = (stream.height, stream.width, 3)
            for _ in range(count):
                frame = av.VideoFrame.from_ndarray(np.zeros(shape, np.uint8), format='rgb24')
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        for packet in file.demux(video=0):
            if packet.dts is not None:
                packet.stream = main
                output.mux(packet)
    return path


def growing(folder: Path) -> Path:
    """A stream of 96x64 pictures, numbers 0 to 49, that goes on at 144x96, 50 to 99."""
    path, main = folder / 'growing.ts', None
    with av.open(str(path), 'w') as output:
        for part, size in enumerate([(96, 64), (144, 96)]):
            piece = record(folder / f'{part}.ts', range(50 * part, 50 * part + 50), size=size)
            with av.open(str(piece)) as file:
                main = main or output.add_stream_from_template(file.streams.video[0])
                for packet in file.demux(video=0):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = (t + 180000 * part for t in (packet.pts, packet.dts))
                    packet.stream = main
                    output.mux(packet)
    return path
