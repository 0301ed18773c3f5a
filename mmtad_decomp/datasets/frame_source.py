"""Frames of one video at a constant rate, front to back, wherever they are stored."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from .resizing import resize, scaled_size
from .video_reader import SampledFrames, probe_video
from .video_stream import VideoReadError, VideoStream
from .windows import num_sampled_frames, source_frame_indices

IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


class FrameSource(ABC):
    """Frames of a video; iterate once.

    Frame ``k`` is the picture shown at ``(k + 0.5) / fps`` seconds. As many frames come as a data
    set would serve of the video: :func:`~mmtad_decomp.datasets.num_sampled_frames`.

    Attributes:
        fps: Frames per second.
        duration: Seconds; before the last frame has been read, what the video promises, or None.
    """

    fps: float
    duration: float | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield ``(H, W, 3)`` uint8 RGB frames of one size.

        Raises:
            VideoReadError: If the video is broken.
        """


class VideoSource(FrameSource):
    """Frames of a video file or of a live stream.

    Args:
        path: File, address or readable object, see :class:`~.video_stream.VideoStream`.
        fps: Frames per second; None takes the file's rate.
        short_side: Scale the shorter side to this many pixels while decoding; None keeps the size.
        num_samples: Spread so many frames evenly over the video, in place of ``fps``.
        live: The video is still being written or sent; it is opened once and asked nothing before.

    Raises:
        VideoReadError: If the video cannot be opened, or is live and its rate is not given.
    """

    def __init__(
        self,
        path: str | Path | BinaryIO,
        fps: float | None = None,
        short_side: int | None = None,
        num_samples: int | None = None,
        live: bool = False,
    ) -> None:
        if live and (fps is None or num_samples is not None):
            raise VideoReadError(
                f'{path} is live, so its length and its rate are not known beforehand; use a '
                'model whose config sets `sample_fps` for its test data'
            )
        rate = 0.0 if fps is None else float(fps)
        if not live:
            with VideoStream(path) as video:
                whole = num_samples is None
                self.duration = video.stated_duration if whole else video.picture_duration
                rate = video.rate if fps is None else rate
        if num_samples is not None:
            self.duration = self.duration or probe_video(path).duration
            rate = num_samples / self.duration
        self.fps = rate
        self.num_samples = num_samples
        self._frames = SampledFrames(path, self.fps, short_side, live=live, cover=True)

    def __iter__(self) -> Iterator[np.ndarray]:
        """See :meth:`FrameSource.__iter__`."""
        count, frame = 0, None
        for frame in self._frames:
            if self.num_samples is None or count < self.num_samples:
                yield frame
                count += 1
        self.duration = self._frames.duration
        for _ in range((self.num_samples or 0) - count):  # the header promised more
            yield frame


class FolderSource(FrameSource):
    """Frames of a folder of images, in the order of the numbers in their names.

    Args:
        path: The folder.
        stored_fps: Images per second.
        fps: Frames per second; None takes all images.
        short_side: Scale the shorter side to this many pixels; None keeps the size.
        num_samples: Spread so many frames evenly over the images, in place of ``fps``.

    Raises:
        VideoReadError: If there is no image in the folder.
    """

    def __init__(
        self,
        path: str | Path,
        stored_fps: float,
        fps: float | None = None,
        short_side: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        self.path, self.stored_fps, self.short_side = path, stored_fps, short_side
        self.images = list_images(path)
        if not self.images:
            raise VideoReadError(
                f'folder {path} has no image ({", ".join(IMAGE_ENDINGS)}); name a folder of frames'
            )
        self.duration = len(self.images) / stored_fps
        self.fps = float(stored_fps if fps is None else fps)
        self.count = num_sampled_frames(self.duration, self.fps)
        if num_samples is not None:
            self.fps, self.count = num_samples / self.duration, num_samples

    def __iter__(self) -> Iterator[np.ndarray]:
        """See :meth:`FrameSource.__iter__`."""
        indices = source_frame_indices(
            0, self.count, self.fps, self.stored_fps, len(self.images)
        ).tolist()
        before, size, frame = None, None, None
        for index in indices:
            if index != before:
                frame = self._read(self.images[index])
                size = size or frame.shape
                if frame.shape != size:
                    raise VideoReadError(
                        f'frames in {self.path} are of different sizes: {self.images[index].name} '
                        f'has {frame.shape[:2]} pixels (height, width), the first one {size[:2]}; '
                        'extract all of them at one size'
                    )
                before = index
            yield frame

    def _read(self, file: Path) -> np.ndarray:
        return read_image(file, self.short_side)


def read_image(file: Path, short_side: int | None) -> np.ndarray:
    """An image as ``(H, W, 3)`` uint8 RGB, its shorter side scaled to ``short_side`` pixels.

    Raises:
        VideoReadError: If it is missing or damaged.
    """
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        state = 'is damaged' if file.is_file() else 'is missing'
        raise VideoReadError(f'frame {file} {state}; extract the frames of this video again')
    size = scaled_size(image.shape[1], image.shape[0], short_side)
    if size != image.shape[1::-1]:
        image = resize(image, size)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def list_images(folder: str | Path) -> Sequence[Path]:
    """Images in a folder, hidden files aside, by the numbers in their names."""
    files = [
        file
        for file in Path(folder).iterdir()
        if file.suffix.lower() in IMAGE_ENDINGS and not file.name.startswith('.')
    ]
    return sorted(files, key=lambda file: _natural(file.name))


def _natural(name: str) -> list:
    parts = re.split(r'(\d+)', name)
    return [(int(part), '') if part.isdigit() else (-1, part) for part in parts]


class GrowingFile:
    """Reads a file that is still being written, as a recorder's, and waits at its end.

    Args:
        path: The file.
        patience: Seconds without a new byte after which the file counts as complete.

    Raises:
        VideoReadError: If the file does not exist.
    """

    def __init__(self, path: str | Path, patience: float = 10.0) -> None:
        self.path, self.patience = path, patience
        try:
            self._file = open(path, 'rb')  # noqa: SIM115  # closed by `close`
        except FileNotFoundError as error:
            raise VideoReadError(
                f'video {path} does not exist; start its recorder first'
            ) from error

    def __str__(self) -> str:
        return str(self.path)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; none at all once nothing has come for ``patience`` seconds."""
        waited, pause = 0.0, 0.05
        while True:
            data = self._file.read(size)
            if data or waited >= self.patience:
                return data
            time.sleep(pause)
            waited += pause

    def close(self) -> None:
        """Close the file."""
        self._file.close()
