"""What a config does to the windows of a test video, without its data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from mmtad_decomp.datasets.frame_source import FolderSource, FrameSource, VideoSource
from mmtad_decomp.datasets.video_stream import VideoReadError
from mmtad_decomp.datasets.window_stream import stream_windows
from mmtad_decomp.datasets.windows import window_hop
from mmtad_decomp.structures import TimeGrid
from mmtad_decomp.utils import class_name

from .model_source import ModelError
from .video_inputs import FEATURE_ENDINGS, VideoInput

_FRAME_LOADERS = ('LoadVideoFrames', 'LoadFrameFolder')


class WindowPipeline:
    """From a video to packed windows, as the test data set of a config serves them.

    Args:
        config: The config; of its ``test_dataloader.dataset`` the windows, the sampling and the
            transforms count, the annotations do not.

    Raises:
        ModelError: If the config reads features, flow or another kind of data set.
    """

    def __init__(self, config: Config) -> None:
        dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
        if class_name(dataset.get('type')) != 'TADDataset':
            raise ModelError(
                f'the config tests on a data set of type {dataset.get("type")}, inference knows '
                'TADDataset; name a model whose test_dataloader.dataset is one'
            )
        steps = list(dataset['pipeline'])
        loader = self._frame_loader(steps)
        self.short_side = loader.get('short_side')
        self.sample_fps = dataset.get('sample_fps')
        self.num_samples = dataset.get('num_samples')
        self.window = dataset.get('window')
        self.overlap = dataset.get('overlap', 0.75)
        self.transform = Compose(steps[1:])

    @staticmethod
    def _frame_loader(steps: list[dict]) -> dict:
        kind = class_name(steps[0]['type']) if steps else None
        if kind in _FRAME_LOADERS:
            return steps[0]
        if kind == 'LoadFeatures':
            raise ModelError(
                f'the model reads features of {steps[0].get("channels")} channels that were '
                'extracted beforehand, not videos; name a model with a backbone, or test this one '
                'on its features by tools/test.py'
            )
        if kind == 'LoadOpticalFlow':
            raise ModelError(
                'the model reads optical flow, which is extracted beforehand; inference is on RGB '
                'alone: name a student or a baseline'
            )
        raise ModelError(
            f'the test pipeline begins with {kind}; inference needs one that begins with '
            f'{" or ".join(_FRAME_LOADERS)}'
        )

    def open(self, video: VideoInput, frame_rate: float | None = None) -> FrameSource:
        """Open a video.

        Args:
            video: The video.
            frame_rate: Images per second of a folder of frames.

        Raises:
            VideoReadError: If it cannot be opened, or is a folder of frames of unknown rate.
        """
        sampling = (self.sample_fps, self.short_side, self.num_samples)
        if video.is_folder:
            if frame_rate is None:
                raise VideoReadError(
                    f'{video.path} is a folder of frames, which does not say how many of them are '
                    'a second: set frame_rate (--frame-rate)'
                )
            return FolderSource(video.path, frame_rate, *sampling)
        if video.path.endswith(FEATURE_ENDINGS):
            raise VideoReadError(
                f'{video.path} holds features, and the model reads frames; name a video'
            )
        return VideoSource(video.path, *sampling)

    def open_live(self, source: str | BinaryIO) -> FrameSource:
        """Open a video that is still being written or sent: an address or a readable object.

        Raises:
            VideoReadError: If its rate or its length would have to be known beforehand.
        """
        sampling = (self.sample_fps, self.short_side, self.num_samples)
        return VideoSource(source, *sampling, live=True)

    def hop(self) -> int | None:
        """Frames between the starts of windows; None where a window is a whole video."""
        return None if self.window is None else window_hop(self.window, self.overlap)

    def windows(self, video: VideoInput, frames: FrameSource) -> Iterator[dict]:
        """Packed windows, ``inputs`` and ``data_samples``, in order of time.

        Raises:
            VideoReadError: If the video is broken.
        """
        for start, clip in stream_windows(frames, self.window, self.overlap):
            yield self.transform(self._describe(video, frames, start, clip))

    @staticmethod
    def _describe(video: VideoInput, frames: FrameSource, start: int, clip: np.ndarray) -> dict:
        stop = start + len(clip)
        return dict(
            video_id=video.video_id,
            path=video.path,
            window=(start, stop),
            time_grid=TimeGrid(frames.fps, start=start),
            duration=frames.duration or stop / frames.fps,
            source_fps=frames.fps,
            num_frames=None,
            segments=np.zeros((0, 2)),
            labels=np.zeros(0, dtype=np.int64),
            instance_ids=np.zeros(0, dtype=np.int64),
            test_mode=True,
            frames=clip,
        )
