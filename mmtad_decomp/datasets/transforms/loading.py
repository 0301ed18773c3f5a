"""From a window's description to its pixels or features."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ..feature_file import feature_steps, open_features
from ..frame_cache import FrameCache
from ..frame_source import read_image
from ..video_reader import read_frames
from ..video_stream import VideoReadError
from ..windows import end_slack, num_sampled_frames, source_frame_indices, visible_instances

_MOST_SKIPPED = 50
"""Windows in a row that a process skips. If half of a data set cannot be read, so many follow one
another once in 1e15 draws; if none can, a training ends after them."""


class FrameLoader(BaseTransform):
    """Base of the loaders that put a window's frames in ``results['frames']``.

    Args:
        skip_unreadable: In training, count a window that cannot be read, log the first one of a
            video, and let the data set draw another one. The error is raised after 50 of them in
            a row, and always in testing, since a result on some of the videos would pass for one
            on all.
    """

    def __init__(self, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable
        self.unreadable: Counter[str] = Counter()
        self._in_a_row = 0

    def transform(self, results: dict) -> dict | None:
        """Load the frames; None tells the data set to draw another window."""
        try:
            results['frames'] = self.load(results)
        except VideoReadError as error:
            if not self.skip_unreadable or results.get('test_mode'):
                raise
            self._skip(results['path'], error)
            return None
        self._in_a_row = 0
        return results

    def _skip(self, path: str, error: VideoReadError) -> None:
        """Count a window that cannot be read.

        Raises:
            VideoReadError: If it is one of too many in a row.
        """
        self._in_a_row += 1
        self.unreadable[path] += 1
        if self._in_a_row >= _MOST_SKIPPED:
            raise VideoReadError(
                f'{_MOST_SKIPPED} windows in a row cannot be read; the last one: {error}'
            ) from error
        if self.unreadable[path] == 1:
            print_log(
                f'skipped a window ({sum(self.unreadable.values())} so far, of '
                f'{len(self.unreadable)} videos; each is named once): {error}',
                logger='current',
                level=logging.WARNING,
            )

    def load(self, results: dict) -> np.ndarray:
        """Read the window's frames, ``(T, H, W, 3)`` uint8 RGB."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class LoadVideoFrames(FrameLoader):
    """Decode a window's frames from a video file.

    Args:
        short_side: Scale the shorter side to this many pixels while decoding.
        cache_dir: Decode every video once, whole, into this folder and read windows from there.
            The size of a video in it is ``frames * height * width * 3`` bytes.
        skip_unreadable: See :class:`FrameLoader`.
    """

    def __init__(
        self,
        short_side: int | None = None,
        cache_dir: str | None = None,
        skip_unreadable: bool = False,
    ) -> None:
        super().__init__(skip_unreadable)
        self.short_side = short_side
        self.cache = None if cache_dir is None else FrameCache(cache_dir)

    def load(self, results: dict) -> np.ndarray:
        """Read the window's frames, ``(T, H, W, 3)`` uint8 RGB."""
        path, fps = results['path'], results['time_grid'].fps
        if self.cache is None:
            return read_frames(path, np.arange(*results['window']), fps, self.short_side)
        whole = np.arange(num_sampled_frames(results['duration'], fps))
        frames = self.cache.frames(path, whole, fps, self.short_side)
        return np.array(frames[slice(*results['window'])])


@TRANSFORMS.register_module()
class LoadFrameFolder(FrameLoader):
    """Read a window's frames from a folder of images.

    Where the annotation does not say how many there are, they are counted, and the last one is
    repeated if the folder ends as little before the video as :func:`~..windows.end_slack` allows.

    Args:
        template: Name of an image; the field is its number.
        first: Number of the first image.
        short_side: Scale the shorter side to this many pixels.
        skip_unreadable: See :class:`FrameLoader`.
    """

    def __init__(
        self,
        template: str = 'img_{:05d}.jpg',
        first: int = 1,
        short_side: int | None = None,
        skip_unreadable: bool = False,
    ) -> None:
        super().__init__(skip_unreadable)
        self.template = template
        self.first = first
        self.short_side = short_side
        self._counts: dict[str, int] = {}

    def load(self, results: dict) -> np.ndarray:
        """Read the window's frames, ``(T, H, W, 3)`` uint8 RGB."""
        folder, indices = Path(results['path']), self.indices(results).tolist()
        read: dict[int, np.ndarray] = {}
        for index in indices:
            if index not in read:
                read[index] = read_image(self._file(folder, index), self.short_side)
        sizes = {frame.shape[:2] for frame in read.values()}
        if len(sizes) > 1:
            raise VideoReadError(
                f'frames in {folder} are of different sizes (height, width): {sorted(sizes)}; '
                'extract all of them at one size'
            )
        return np.stack([read[index] for index in indices])

    def check_videos(self, windows: Sequence[Mapping]) -> None:
        """Check the first and the last image; the data set calls it before anything is loaded.

        Args:
            windows: Descriptions of windows, as the data set lists them.

        Raises:
            VideoReadError: If the first image of a folder has another number than ``first``, or
                the last one is missing. With ``skip_unreadable`` the latter is a warning.
        """
        videos = {window['path']: window for window in windows}
        self._check_numbers(videos)
        errors = [error for video in videos.values() if (error := self._end_error(video))]
        if errors:
            message = (
                f'{len(errors)} of {len(videos)} folders of frames end too early: {errors[0]}'
            )
            if not self.skip_unreadable:
                raise VideoReadError(message)
            print_log(message, logger='current', level=logging.WARNING)

    def _check_numbers(self, paths: Iterable[str]) -> None:
        """Check how folders are numbered.

        Raises:
            VideoReadError: If the first image of one has another number than ``first``.
        """
        for path in paths:
            wanted, before = (
                Path(path) / self.template.format(number)
                for number in (self.first, max(self.first - 1, 0))
            )
            if before != wanted and before.is_file():
                raise VideoReadError(
                    f'frames in {path} are numbered from {self.first - 1} ({before.name}), '
                    f'LoadFrameFolder reads them from {self.first}; set its '
                    f'`first={self.first - 1}`'
                )
            after = Path(path) / self.template.format(self.first + 1)
            if not wanted.is_file() and after.is_file():
                raise VideoReadError(
                    f'frames in {path} are numbered from {self.first + 1} ({after.name}), '
                    f'LoadFrameFolder reads them from {self.first}; set its '
                    f'`first={self.first + 1}`, or extract {wanted.name} too'
                )

    def _end_error(self, video: Mapping) -> str | None:
        """What is wrong with the end of a folder, if anything."""
        last = num_sampled_frames(video['duration'], video['time_grid'].fps)
        try:
            file = self._file(video['path'], self.indices(dict(video, window=(0, last)))[-1])
        except VideoReadError as error:
            return str(error)
        if file.is_file():
            return None
        return (
            f'frame {file} is missing, the last one by "frame" of its annotation; extract the '
            'frames of this video again, or correct "frame" and "fps"'
        )

    def indices(self, results: Mapping) -> np.ndarray:
        """Stored-frame indices of the window at the sampled rate.

        Raises:
            VideoReadError: If the annotation does not say how many images there are, and they end
                too early for the window.
        """
        start, stop = results['window']
        fps, source_fps = results['time_grid'].fps, results['source_fps']
        stored = results['num_frames']
        if stored is None:
            stored, time = self._count(results), (stop - 0.5) / fps
            if not stored or time - stored / source_fps > end_slack(time, fps):
                raise VideoReadError(
                    f'the {stored} frames in {results["path"]} end at {stored / source_fps:.2f} s '
                    f'({source_fps:g} per second), one at {time:.2f} s was asked for; extract the '
                    'frames of this video again, or correct "duration" or "fps" in its annotation'
                )
        return source_frame_indices(start, stop, fps, source_fps, stored)

    def _count(self, results: Mapping) -> int:
        """Number of images in a folder, as far as its video needs them; found out once."""
        path = results['path']
        if path not in self._counts:
            needed = num_sampled_frames(results['duration'], results['source_fps'])
            there = (n for n in range(needed, 0, -1) if self._file(path, n - 1).is_file())
            self._counts[path] = next(there, 0)
        return self._counts[path]

    def _file(self, folder: str | Path, index: int) -> Path:
        return Path(folder) / self.template.format(index + self.first)


FEATURE_KEYS = ('features', 'motion_features')
"""Modalities of features that a pipeline may hold, step by step beside each other."""


_SLACK, _SLACK_SHARE = 1.0, 0.02
"""Seconds, or share of a video, by which its features may be shorter or longer."""

_TOLERATED = 0.1
"""Share of the videos whose features may do otherwise; they are only named then."""


@TRANSFORMS.register_module()
class LoadFeatures(BaseTransform):
    """Read a window's features from ``.npy`` or ``.npz`` (key ``feats``, else the only one).

    The file holds ``(steps, channels)`` of the whole video. Of a ``.npy`` only the window's rows
    are read. A second one in a pipeline, with ``key`` and ``folder``, loads another modality of
    the same steps beside the first, such as a motion teacher's.

    Args:
        channels: Width that the features must have.
        key: ``'features'`` or ``'motion_features'``.
        folder: Read ``<folder>/<video id>.npy`` (or ``.npz``); None reads the data set's file.
    """

    def __init__(self, channels: int, key: str = 'features', folder: str | None = None) -> None:
        if key not in FEATURE_KEYS:
            raise ValueError(f'LoadFeatures.key must be one of {FEATURE_KEYS}, got {key!r}')
        self.channels = channels
        self.key = key
        self.folder = None if folder is None else Path(folder)

    def transform(self, results: dict) -> dict:
        """Set ``results[key]`` to ``(C, T)`` float32, and close a window that has no end yet.

        Raises:
            VideoReadError: If the file cannot be read or holds something else, or differs in
                length from what the windows were made of or is loaded already.
        """
        path = self._path(results)
        content = open_features(path)
        if content.ndim != 2 or content.shape[1] != self.channels or not len(content):
            raise VideoReadError(
                f'features {path} have shape {content.shape}, wanted (steps, {self.channels}); '
                'set `channels` of LoadFeatures and `in_channels` of the model to their width, '
                'or extract them again'
            )
        if results.get('feature_steps') not in (None, len(content)):
            raise VideoReadError(
                f'features {path} have {len(content)} steps, other features of video '
                f'"{results["video_id"]}" {results["feature_steps"]}; extract all of them at the '
                'same steps'
            )
        start, stop = results.get('window', (0, None))
        rows = content[start:stop]
        if rows.dtype.kind not in 'fiu' or not np.isfinite(rows).all():
            raise VideoReadError(
                f'features {path} ({rows.dtype}) hold NaN, infinity or no numbers; extract '
                'them again'
            )
        results[self.key] = np.array(rows.T, dtype=np.float32, order='C')
        results['feature_steps'] = len(content)
        results['window'] = (start, start + len(rows))
        return results

    def check_videos(self, windows: Sequence[Mapping]) -> None:
        """Compare the length of all features with the videos; the data set calls it first.

        Args:
            windows: Descriptions of windows, as the data set lists them.

        Raises:
            VideoReadError: If more than a few files cover another time than their videos.
        """
        videos = {window['video_id']: window for window in windows}
        strides, wrong = [], []
        for window in videos.values():
            path, grid = self._path(window), window['time_grid']
            try:
                steps = feature_steps(path)
            except VideoReadError:  # which loading explains better
                continue
            covered = steps * grid.stride / grid.fps
            frames = window['duration'] * grid.fps - 2 * grid.offset + grid.stride
            strides.append(frames / steps)
            slack = max(_SLACK, _SLACK_SHARE * window['duration'])
            slack += (grid.stride + 2 * grid.offset) / grid.fps
            if abs(covered - window['duration']) > slack:
                wrong.append(
                    f'{path}: {steps} steps of {grid.stride:g} frames at {grid.fps:g} '
                    f'fps are {covered:.1f} s of a {window["duration"]:.1f} s video'
                )
        if not wrong:
            return
        message = (
            f'features of {len(wrong)} of {len(videos)} videos do not cover their video, such as '
            f'{wrong[0]}'
        )
        if len(wrong) <= _TOLERATED * len(videos):
            print_log(message, logger='current', level=logging.WARNING)
            return
        raise VideoReadError(
            f'{message}; set `feature_stride` (about {np.median(strides):.3g} would fit '
            'most), `sample_fps` (the rate that the features were extracted at) or "duration", '
            'or extract whole videos'
        )

    def _path(self, results: Mapping) -> str:
        if self.folder is None:
            return results['path']
        array = self.folder / f'{results["video_id"]}.npy'
        return str(array if array.is_file() else array.with_suffix('.npz'))


@TRANSFORMS.register_module()
class RandomFeatureCrop(BaseTransform):
    """Crop long features at random in training, keeping at least one ground truth.

    As in ActionFormer: a video longer than ``max_length`` is cut to it; a shorter one is cut to a
    random share of itself where ``crop_ratio`` is given.

    Args:
        max_length: Longest sequence, in steps.
        min_visible: Smallest share of a ground truth that must stay for it to be kept.
        crop_ratio: ``(low, high)`` share of a shorter video to keep, or None.
        trials: Crops drawn before one is placed over a random ground truth, which then stays
            however little of it can be seen.
    """

    def __init__(
        self,
        max_length: int = 2304,
        min_visible: float = 0.5,
        crop_ratio: tuple[float, float] | None = (0.9, 1.0),
        trials: int = 200,
    ) -> None:
        self.max_length = max_length
        self.min_visible = min_visible
        self.crop_ratio = crop_ratio
        self.trials = trials

    def transform(self, results: dict) -> dict:
        """Crop all features, ``segments`` and ``labels`` together."""
        steps = results['features'].shape[1]
        length = min(steps, self.max_length)
        if steps <= self.max_length and self.crop_ratio is not None:
            low, high = self.crop_ratio
            length = max(1, round(steps * np.random.uniform(low, high)))
        if length == steps:
            return results
        grid, (begin, _) = results['time_grid'], results['window']
        for _ in range(self.trials):
            start = np.random.randint(0, steps - length + 1)
            segments, kept = self._visible(results, start, length, self.min_visible)
            if len(kept) or not len(results['segments']):
                break
        else:
            start = self._start_over_instance(results, steps, length, start)
            segments, kept = self._visible(results, start, length, 0.0)
        for key in FEATURE_KEYS:
            if key in results:
                results[key] = results[key][:, start : start + length]
        results.update(
            window=(begin + start, begin + start + length),
            time_grid=replace(grid, start=grid.start + start * grid.stride),
            segments=segments,
            labels=results['labels'][kept],
        )
        return results

    @staticmethod
    def _visible(
        results: dict, start: int, length: int, min_visible: float
    ) -> tuple[np.ndarray, np.ndarray]:
        begin, end = results['time_grid'].edges(start, start + length)
        return visible_instances(results['segments'], begin, end, min_visible)

    def _start_over_instance(self, results: dict, steps: int, length: int, default: int) -> int:
        """First step of the crop in whose middle a random ground truth has its centre.

        ``default`` where the features reach none of the ground truth.
        """
        segments, _ = self._visible(results, 0, steps, 0.0)
        if not len(segments):
            return default
        centre = results['time_grid'].to_steps(segments[np.random.randint(len(segments))].mean())
        return int(np.clip(round(centre - (length - 1) / 2), 0, steps - length))
