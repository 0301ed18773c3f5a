"""The data set: an annotation file in, windows of frames or features out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmtad_decomp.annotations import AnnotationError, load_annotations
from mmtad_decomp.structures import TimeGrid, VideoAnnotation
from mmtad_decomp.utils import seeded

from .feature_file import feature_steps
from .video_stream import VideoStream
from .windows import clip_segments, num_sampled_frames, window_starts

DEFAULT_TEMPLATES = {'video': '{}.mp4', 'frames': '{}', 'feature': '{}.npy'}
"""Names of files and folders by source, for annotations without ``path``."""


def stored_file(
    video: VideoAnnotation,
    data_root: str,
    folder: str,
    source: str = 'video',
    template: str | None = None,
) -> Path:
    """Where :class:`TADDataset` looks for a video.

    Args:
        video: The annotated video.
        data_root: See :class:`TADDataset`.
        folder: ``data_prefix`` of the source, joined to ``data_root``.
        source: See :class:`TADDataset`.
        template: See :class:`TADDataset`.
    """
    if template is None and source != 'feature' and video.path is not None:
        return Path(data_root) / video.path
    name = (template or DEFAULT_TEMPLATES[source]).format(video.video_id)
    return Path(folder) / name


@DATASETS.register_module()
class TADDataset(BaseDataset):
    """Windows of untrimmed videos with their action segments.

    In training, windows overlap, keep the ground truth of which at least ``min_visible`` can be
    seen, and are dropped where none is left. In testing, windows cover every video to its end.

    Args:
        ann_file: ActivityNet-style JSON, see :func:`~mmtad_decomp.annotations.load_annotations`.
        source: ``'video'`` (files), ``'frames'`` (folders of images) or ``'feature'`` (files).
        data_prefix: ``dict(video=folder)``, ``dict(frames=folder)`` or ``dict(feature=folder)``,
            joined to ``data_root``; see ``template``.
        subset: Subset or subsets of the annotation file to use.
        template: Name of a video's file or folder under ``data_prefix``; ``{}`` is the video id.
            None takes the ``path`` of the annotation, which is relative to ``data_root``, for
            videos and frames, and :data:`DEFAULT_TEMPLATES` where there is none and for features.
        sample_fps: Frames per second at which frames are sampled; None keeps the stored rate.
        num_samples: Sample every video at this many evenly spread frames and serve it whole, in
            place of ``sample_fps`` and ``window``, as end-to-end detectors do on ActivityNet.
        window: Frames, or steps of features, in a window; None serves every video whole. How many
            steps of features a video has is read from its file.
        overlap: Share of a window that the next one covers again.
        min_visible: Smallest visible share of a ground truth that a training window keeps.
        feature_stride: Frames between neighbouring features (``source='feature'``).
        feature_frames: Frames that one feature sees; its time is their centre.
        ignore_labels: Label or labels left out, such as ``('Ambiguous',)``.
        exclude_videos: Ids of videos left out, or a file that names them, see
            :func:`~mmtad_decomp.annotations.read_video_list`.
        label_fields: Fields of an instance that name its class, joined by commas, such as
            ``('verb',)`` or ``('verb', 'noun')``; give the metric the same, see
            :func:`~mmtad_decomp.annotations.load_annotations`.
        leave_out: ``(part, parts)``: leave out one part of the videos, counted from 0. Their
            sorted ids are cut into ``parts`` runs of neighbours, so that videos of one source
            whose names begin alike stay together. ``metainfo['left_out']`` holds their ids, and
            checkpoints keep it: so a student can ask each of several teachers about the videos
            that it does not know, see
            :class:`~mmtad_decomp.models.distillers.CrossModalDistiller`.
        skip_missing: Leave out videos whose file is missing, with a warning that counts them,
            instead of raising.
        metainfo: ``dict(classes=...)`` fixes the classes and their order.
        data_root: Root of ``ann_file`` and of ``data_prefix``.
        pipeline: Transforms.
        test_mode: Serve test windows.

    Raises:
        AnnotationError: If the annotation file is malformed or lacks a field that is needed.
        FileNotFoundError: If a video's file is missing.
        VideoReadError: If features are cut into windows and a file of them cannot be read.
    """

    def __init__(
        self,
        ann_file: str,
        source: str = 'video',
        data_prefix: dict | None = None,
        subset: str | Sequence[str] | None = None,
        template: str | None = None,
        sample_fps: float | None = None,
        num_samples: int | None = None,
        window: int | None = None,
        overlap: float = 0.75,
        min_visible: float = 0.75,
        feature_stride: float = 4,
        feature_frames: float = 16,
        ignore_labels: str | Sequence[str] = (),
        exclude_videos: Sequence[str] | str = (),
        label_fields: str | Sequence[str] = ('label',),
        leave_out: tuple[int, int] | None = None,
        skip_missing: bool = False,
        metainfo: dict | None = None,
        data_root: str = '',
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        **kwargs,
    ) -> None:
        if source not in ('video', 'frames', 'feature'):
            raise ValueError(f"source must be 'video', 'frames' or 'feature', got {source!r}")
        if window is not None and window < 1:
            raise ValueError(f'window must be at least 1 step, got {window}')
        if sample_fps is not None and not sample_fps > 0:
            raise ValueError(f'sample_fps must be > 0, got {sample_fps}')
        if num_samples is not None and (
            num_samples < 1 or source == 'feature' or sample_fps is not None or window is not None
        ):
            raise ValueError(
                f'num_samples={num_samples} must be at least 1 and stands alone: it samples whole '
                'videos, so leave out sample_fps and window; features are sampled already'
            )
        if data_prefix is not None and source not in data_prefix:
            raise ValueError(
                f'data_prefix has no folder for source={source!r}, only for '
                f'{sorted(data_prefix)}; set data_prefix=dict({source}=folder)'
            )
        if leave_out is not None and not _is_part(leave_out):
            raise ValueError(
                f'leave_out must be (part, parts) with 2 parts or more and 0 <= part < parts, got '
                f'{leave_out!r}; (0, 4) leaves out the first quarter of the videos'
            )
        self.source = source
        self.subset = subset
        self.template = template
        self.sample_fps = sample_fps
        self.num_samples = num_samples
        self.window = window
        self.overlap = overlap
        self.min_visible = min_visible
        self.feature_stride = feature_stride
        self.feature_frames = feature_frames
        self.ignore_labels = ignore_labels
        self.exclude_videos = exclude_videos
        self.label_fields = label_fields
        self.leave_out = leave_out
        self.skip_missing = skip_missing
        # Seed and epoch, in memory that the data loader's workers share; -1 before the first.
        self._epoch_key = torch.full((2,), -1, dtype=torch.int64).share_memory_()
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=data_prefix if data_prefix is not None else {source: ''},
            pipeline=list(pipeline),
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the annotations and list the windows."""
        annotations = load_annotations(
            self.ann_file,
            subset=self.subset,
            classes=self._metainfo.get('classes'),
            ignore_labels=self.ignore_labels,
            exclude_videos=self.exclude_videos,
            label_fields=self.label_fields,
        )
        self._metainfo['classes'] = list(annotations.classes)
        videos = self._existing(self._kept(annotations.videos))
        windows = [window for video in videos for window in self._windows(video)]
        self.census = (
            f'{self.ann_file} [{self.subset}]: {annotations.census}; {len(windows)} windows'
        )
        if not self.test_mode:
            served = {(w['video_id'], i) for w in windows for i in w['instance_ids']}
            unseen = sum(len(v.labels) for v in videos) - len(served)
            self.census += f', {unseen} instances in none of them (visible < {self.min_visible})'
        print_log(self.census, logger='current', level=logging.DEBUG)
        if not windows:
            raise AnnotationError(f'{self.ann_file}: {self._why_empty(videos)}')
        for transform in self.pipeline.transforms:
            if hasattr(transform, 'check_videos'):
                transform.check_videos(windows)
        return windows

    def _kept(self, videos: Mapping[str, VideoAnnotation]) -> list[VideoAnnotation]:
        """Videos but the part that is left out, whose ids go to ``metainfo``."""
        if self.leave_out is None:
            return list(videos.values())
        part, parts = self.leave_out
        if len(videos) < parts:
            raise AnnotationError(
                f'{self.ann_file}: subset {self.subset!r} has {len(videos)} videos, which '
                f'`leave_out={self.leave_out}` cannot cut into {parts} parts; use fewer'
            )
        left_out = np.array_split(sorted(videos), parts)[part].tolist()
        self._metainfo['left_out'] = left_out
        gone = set(left_out)
        return [video for video_id, video in videos.items() if video_id not in gone]

    def _why_empty(self, videos: Sequence[VideoAnnotation]) -> str:
        """Why there is nothing to train on, and what helps."""
        instances = sum(len(video.labels) for video in videos)
        if not instances:
            return (
                f'no video of subset {self.subset!r} has an instance to train on; correct '
                '"annotations", `subset` or `ignore_labels`'
            )
        if self.window is None:
            return f'no video shows {self.min_visible} of an instance; lower `min_visible`'
        return (
            f'no training window keeps one of the {instances} instances; enlarge `window` '
            f'({self.window} steps) or lower `min_visible` ({self.min_visible})'
        )

    def get_data_info(self, idx: int) -> dict:
        """The description of a window that the pipeline starts from."""
        return dict(super().get_data_info(idx), test_mode=self.test_mode)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of the instances of a window, for MMEngine's ``ClassBalancedDataset``."""
        return self.get_data_info(idx)['labels'].tolist()

    def seed_epoch(self, seed: int, epoch: int) -> None:
        """From now on, here and in the workers, seed the pipeline for each sample.

        Args:
            seed: Of the training.
            epoch: Counted from 0.
        """
        self._epoch_key.copy_(torch.tensor([seed, epoch]))

    def __getitem__(self, idx: int) -> dict:
        """A packed sample; of one seed, epoch and index always the same."""
        seed, epoch = self._epoch_key.tolist()
        if epoch < 0:
            return super().__getitem__(idx)
        with seeded(seed, epoch, int(idx) % len(self)):
            return super().__getitem__(idx)

    def _file_of(self, video: VideoAnnotation) -> Path:
        folder = self.data_prefix[self.source]
        return stored_file(video, self.data_root, folder, self.source, self.template)

    def _is_there(self, video: VideoAnnotation) -> bool:
        file = self._file_of(video)
        return file.is_dir() if self.source == 'frames' else file.is_file()

    def _existing(self, videos: Iterable[VideoAnnotation]) -> list[VideoAnnotation]:
        videos = list(videos)
        missing = [video for video in videos if not self._is_there(video)]
        if missing:
            shown = ', '.join(str(self._file_of(video)) for video in missing[:3])
            message = (
                f'{self.ann_file}: {len(missing)} of {len(videos)} videos have no '
                f'{"folder of frames" if self.source == "frames" else self.source + " file"} '
                f'({shown}{", …" if len(missing) > 3 else ""})'
            )
            if not self.skip_missing or len(missing) == len(videos):
                raise FileNotFoundError(
                    f'{message}; set `data_root`, `template` with `data_prefix.{self.source}`, or '
                    '`skip_missing=True` to go on without them'
                )
            print_log(f'{message}; skipped', logger='current', level=logging.WARNING)
        gone = {video.video_id for video in missing}
        return [video for video in videos if video.video_id not in gone]

    def _clock(self, video: VideoAnnotation) -> tuple[TimeGrid, int | None]:
        """The video's grid of input steps and their number; None of features served whole."""
        if self.source == 'feature':
            fps = self.sample_fps or self._frame_rate(video)
            steps = None if self.window is None else feature_steps(str(self._file_of(video)))
            return TimeGrid(fps, self.feature_stride, self.feature_frames / 2), steps
        resampled = self.num_samples is not None or self.sample_fps is not None
        if self.source == 'frames' or not resampled:
            self._check_length(video)
        if self.num_samples is not None:
            return TimeGrid(self.num_samples / video.duration), self.num_samples
        fps = self.sample_fps or self._frame_rate(video)
        return TimeGrid(fps), num_sampled_frames(video.duration, fps)

    def _frame_rate(self, video: VideoAnnotation) -> float:
        """Frames per second as the annotation says, or else the video file."""
        if video.fps is not None:
            return video.fps
        if self.source == 'video':
            with VideoStream(self._file_of(video)) as file:
                return file.rate
        raise AnnotationError(
            f'{self.ann_file}: video "{video.video_id}": field "fps" is missing; add it (the '
            "data set's script under tools/data/ writes it)"
        )

    def _check_length(self, video: VideoAnnotation) -> None:
        """Frames stored at another rate than the annotation says would all be misplaced.

        Not those of a video file at a sampled rate: the file's own clock says where they are.
        """
        if video.fps is None and self.source == 'frames':
            self._frame_rate(video)
        if video.num_frames is None or video.fps is None:
            return
        stored = video.num_frames / video.fps
        if abs(stored - video.duration) > max(1.0, 0.02 * video.duration):
            raise AnnotationError(
                f'{self.ann_file}: video "{video.video_id}": "frame" / "fps" = '
                f'{video.num_frames} / {video.fps:g} = {stored:.1f} s, but "duration" is '
                f'{video.duration:g} s; correct whichever is wrong'
            )

    def _windows(self, video: VideoAnnotation) -> list[dict]:
        grid, num_steps = self._clock(video)
        if num_steps is None or self.window is None:
            spans = [(0, num_steps)]
        else:
            length = min(self.window, num_steps)
            starts = window_starts(num_steps, length, self.overlap)
            spans = [(start, start + length) for start in starts]
        path = str(self._file_of(video))
        features = dict(feature_steps=num_steps) if self.source == 'feature' else {}
        return [
            dict(
                video_id=video.video_id,
                path=path,
                window=span,
                time_grid=replace(grid, start=span[0] * grid.stride),
                duration=video.duration,
                source_fps=video.fps,
                num_frames=video.num_frames,
                segments=segments,
                labels=video.labels[ids],
                instance_ids=ids,
                **features,
            )
            for span, segments, ids in self._with_instances(video, spans, grid)
        ]

    def _with_instances(
        self, video: VideoAnnotation, spans: Sequence[tuple[int, int | None]], grid: TimeGrid
    ) -> Iterator[tuple[tuple[int, int | None], np.ndarray, np.ndarray]]:
        """Spans with their segments and the ids of these; in training those that show any."""
        everything = np.arange(len(video.labels))
        if self.test_mode or spans[0][1] is None:
            for span in spans:
                if self.test_mode or len(everything):
                    yield span, video.segments, everything
            return
        begin, end = grid.edges(*np.array(spans).T)
        # The first and the last step of features see more than half of the way to a neighbour.
        margin = max(begin[0], 0.0)
        begin[0] -= margin
        end[-1] += margin
        clipped, seen = clip_segments(video.segments, begin, end, self.min_visible)
        for row in np.flatnonzero(seen.any(axis=1)):
            ids = everything[seen[row]]
            yield spans[row], clipped[row, ids], ids


def _is_part(value: object) -> bool:
    """Whether a value is a part's number and the number of parts."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    part, parts = value
    return type(part) is int and type(parts) is int and parts >= 2 and 0 <= part < parts
