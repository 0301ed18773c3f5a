"""Give it a video and get its actions."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import INFERENCERS
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from mmtad_decomp.datasets.frame_source import FrameSource, GrowingFile
from mmtad_decomp.datasets.video_stream import VideoReadError
from mmtad_decomp.postprocessing import Detections, VideoMerger, WindowResult
from mmtad_decomp.postprocessing.block_merger import BlockMerger
from mmtad_decomp.postprocessing.detections import concatenate
from mmtad_decomp.structures import TADDataSample
from mmtad_decomp.utils import choose_precision
from mmtad_decomp.utils.prefetch import prefetch
from mmtad_decomp.visualization import TADVisualizer

from .argument_checks import check_options, demand_outputs
from .copied_lock import CopiedLock
from .exports import write_results
from .model_source import ModelError, ModelSource, load_model_source
from .outputs import ANNOTATED, PICTURE, drawn_file
from .progress import InferenceProgress
from .publishing import build_published
from .results import VideoResult
from .speed_up import speed_up_on_cpu
from .video_inputs import STDIN, InputError, VideoInput, find_videos
from .window_pipeline import WindowPipeline

AGNOSTIC_CLASS = 'action'
"""Name of what a class-agnostic detector finds."""

BLOCK_SECONDS = 600.0
"""Longer videos are post-processed in blocks of this length, see BlockMerger."""


@INFERENCERS.register_module(name='temporal-action-detection')
@INFERENCERS.register_module()
class TADInferencer(BaseInferencer):
    """Detect actions in videos, from RGB alone; no teacher is loaded.

    Windows, transforms and post-processing are those of the config's test. Frames are decoded
    once, in a thread beside the network, and memory does not grow with the length of a video.
    Several threads may call it at once; the network runs for one of them at a time.

    Args:
        model: A published model, a name in ``model-index.yml``, a config, a checkpoint or a work
            directory; see :func:`~mmtad_decomp.apis.model_source.load_model_source`.
        weights: Checkpoint or work directory, where ``model`` does not lead to one.
        device: Such as ``'cpu'`` or ``'cuda:0'``; None takes the fastest there is.
        scope: Registry scope.
        show_progress: Whether to show a bar with an estimate on stderr.
        dtype: Precision, see :func:`~mmtad_decomp.utils.choose_precision`.
        block: Seconds; see :data:`BLOCK_SECONDS`.

    Raises:
        ModelError: If the model cannot be used for inference, or the device is not there.
        CheckpointError: If its weights do not fit.
    """

    preprocess_kwargs: set = {'frame_rate'}
    forward_kwargs: set = set()
    visualize_kwargs: set = {
        'return_vis',
        'show',
        'wait_time',
        'vis_out_dir',
        'vid_out_dir',
        'key_frames',
    }
    postprocess_kwargs: set = {'score_thr', 'top_k', 'print_result', 'pred_out_file'}

    def __init__(
        self,
        model: str | Path | Config | dict,
        weights: str | Path | None = None,
        device: str | None = None,
        scope: str | None = 'mmaction',
        show_progress: bool = True,
        dtype: str = 'auto',
        block: float = BLOCK_SECONDS,
    ) -> None:
        init_default_scope(scope)
        _demand_device(device)
        self.source: ModelSource = load_model_source(model, weights)
        self.block = block
        self._network_lock = CopiedLock()
        super().__init__(
            model=self.source.config,
            weights=self.source.weights,
            device=device,
            scope=scope,
            show_progress=show_progress,
        )
        self.precision = choose_precision(dtype, next(self.model.parameters()).device)

    def _init_model(
        self, cfg: Config, weights: str | None, device: str = 'cpu'
    ) -> torch.nn.Module:
        """Build the model without teacher, load its weights and make it fast on a CPU."""
        model = build_published(self.source.config, self.source.state, self.source.weights)
        model.to(device).eval()
        if torch.device(device).type == 'cpu':
            speed_up_on_cpu(model)
        return model

    def _init_pipeline(self, cfg: Config) -> WindowPipeline:
        """Windows and transforms of the config, and the post-processor."""
        classes = self.source.classes
        one_class = getattr(getattr(self.model, 'head', None), 'num_classes', None) == 1
        self.classes = (AGNOSTIC_CLASS,) if one_class and len(classes) > 1 else classes
        self.merger = VideoMerger(self.classes, _post_processor(cfg))
        return WindowPipeline(cfg)

    def _init_visualizer(self, cfg: Config) -> TADVisualizer:
        """The visualiser, with the class names."""
        visualizer = super()._init_visualizer(Config(dict(visualizer=dict(type='TADVisualizer'))))
        visualizer.dataset_meta = dict(classes=self.classes)
        return visualizer

    def __call__(
        self,
        inputs: str | Path | Sequence[str | Path],
        return_datasamples: bool = False,
        batch_size: int = 1,
        skip_broken: bool = False,
        **kwargs,
    ) -> dict:
        """Detect actions.

        Args:
            inputs: Files, folders, patterns or folders of frames, see
                :func:`~mmtad_decomp.apis.video_inputs.find_videos`.
            return_datasamples: Return data samples in place of plain dicts.
            batch_size: Windows that the network is given at once.
            skip_broken: Go on after a video that cannot be read, which ``errors`` then names; by
                default it is raised.
            **kwargs: For :meth:`preprocess` (``frame_rate``), :meth:`visualize` (``return_vis``,
                ``show``, ``wait_time``, ``vis_out_dir``, ``vid_out_dir``, ``key_frames``) and
                :meth:`postprocess` (``score_thr``, ``top_k``, ``print_result``,
                ``pred_out_file``).

        Returns:
            ``predictions``: for each video a dict of ``video``, ``video_id``, ``duration`` in
            seconds and ``detections``, a list of dicts of ``segment`` ``[start, end]`` in
            seconds, ``label`` and ``score``, by falling score. ``visualization``: pictures,
            with ``return_vis``. ``errors``: the message of each broken video by its path.

        Raises:
            ExportError: If the ending of ``pred_out_file`` tells no format, or one for a single
                video, and there are several.
            InputError: If there is no video, one would be overwritten, or an option is out of
                range.
            OutputPathError: If nothing can be written where a file is to go.
            VideoReadError: If one is broken, without ``skip_broken``.
        """
        preprocess, _, visualize, postprocess = self._dispatch_kwargs(**kwargs)
        limits = {
            key: postprocess.pop(key) for key in ('score_thr', 'top_k') if key in postprocess
        }
        videos = self._inputs_to_list(inputs)
        demand_outputs(videos, **visualize, **postprocess)
        errors: dict[str, str] = {}
        found = self.detect_each(
            videos, errors if skip_broken else None, batch_size, **preprocess, **limits
        )
        results = list(found)
        output = self.postprocess(results, None, return_datasamples, **postprocess)
        pictures = self.visualize(videos, results, **visualize, **preprocess)
        return dict(output, visualization=pictures, errors=errors)

    def _inputs_to_list(
        self, inputs: str | Path | VideoInput | Sequence[str | Path | VideoInput]
    ) -> list[VideoInput]:
        """Videos under the names given.

        Raises:
            InputError: If one is no name, or there is nothing under it.
        """
        kinds = (str, Path, VideoInput)
        several = isinstance(inputs, Iterable) and not isinstance(inputs, (*kinds, bytes))
        items: list = list(inputs) if several else [inputs]  # type: ignore[arg-type]
        strange = [item for item in items if not isinstance(item, kinds)]
        if strange:
            raise InputError(
                f'an input is a path or an address, not {type(strange[0]).__name__}; write frames '
                'or bytes in memory to a file or a folder first'
            )
        videos = [item for item in items if isinstance(item, VideoInput)]
        names = [item for item in items if not isinstance(item, VideoInput)]
        return videos + find_videos(names)

    def detect_each(
        self,
        videos: Sequence[VideoInput],
        errors: dict[str, str] | None = None,
        batch_size: int = 1,
        frame_rate: float | None = None,
        score_thr: float = 0.0,
        top_k: int | None = None,
    ) -> Iterator[VideoResult]:
        """Detections of videos, one after the other.

        Args:
            videos: The videos.
            errors: Takes the message of each broken video by its path; None raises it.
            batch_size: Windows that the network is given at once.
            frame_rate: Images per second of folders of frames.
            score_thr: Lowest score to keep.
            top_k: Detections to keep of each video, the best; None for all.

        Yields:
            What was found in a video, as soon as it has been read to its end.

        Raises:
            InputError: If an option is out of range.
            VideoReadError: If a video is broken, without ``errors``.
        """
        check_options(batch_size, frame_rate, score_thr, top_k)
        with InferenceProgress(len(videos), self.show_progress) as progress:
            for video in videos:
                try:
                    result = self.detect(video, batch_size, progress, frame_rate)
                except VideoReadError as error:
                    if errors is None:
                        raise
                    errors[video.path] = str(error)
                else:
                    kept = result.best(score_thr, top_k)
                    self._warn_if_cut(kept, score_thr, top_k)
                    yield kept

    def _warn_if_cut(self, result: VideoResult, score_thr: float, top_k: int | None) -> None:
        """Warn if detections above a threshold that was asked for may have been cut."""
        lowest = result.complete_above
        all_asked_for = top_k is not None and (result.detections.scores > lowest).sum() >= top_k
        if not 0 < score_thr <= lowest or all_asked_for:
            return
        processor = self.merger.post_processor
        assert processor is not None  # it told the score
        print_log(
            f'{result.video.path}: detections below a score of {lowest:.3f} may be missing, '
            f"though score_thr is {score_thr:g}: the model's post-processor keeps the best "
            f'{processor.max_per_video} of a video, or of each block of a longer one. Raise '
            '`test_evaluator.post_processor.max_per_video` in its config',
            logger='current',
            level=logging.WARNING,
        )

    def open_live(self, name: str, patience: float = 10.0) -> tuple[VideoInput, FrameSource]:
        """Open a video that is still being written or sent.

        Args:
            name: ``-`` for the standard input, an address, or a file that grows.
            patience: Seconds without a new byte after which a file is complete.

        Raises:
            VideoReadError: If it cannot be opened, or the model needs whole videos.
        """
        if self.pipeline.window is None:
            raise VideoReadError(
                f'{name}: the model looks at whole videos; a stream needs one whose config sets '
                '`window` for its test data'
            )
        if name == STDIN or '://' in name:
            (video,) = find_videos(name)
            return video, self.pipeline.open_live(video.path)
        video = VideoInput(name, Path(name).stem)
        return video, self.pipeline.open_live(GrowingFile(name, patience))

    def detect(
        self,
        video: VideoInput,
        batch_size: int = 1,
        progress: InferenceProgress | None = None,
        frame_rate: float | None = None,
    ) -> VideoResult:
        """All detections of one video.

        Raises:
            VideoReadError: If it is broken.
        """
        frames = self.pipeline.open(video, frame_rate)
        parts = [concatenate([])]
        merger = BlockMerger(self.merger, video.video_id, self.block)
        if progress is not None:
            progress.start(video.video_id, frames.duration)
        for part, seconds in self._merge(merger, video, frames, batch_size):
            parts.append(part)
            if progress is not None:
                progress.advance(seconds)
        duration = frames.duration
        found = concatenate(parts)
        result = VideoResult(
            video, duration, frames.fps, found, self.classes, merger.complete_above
        )
        return result.best()

    def detect_in_blocks(
        self, video: VideoInput, frames: FrameSource, batch_size: int = 1, block: float = 0.0
    ) -> Iterator[tuple[Detections, float]]:
        """Detections as they become final.

        Args:
            video: The video.
            frames: Its frames.
            batch_size: Windows that the network is given at once.
            block: See :class:`~mmtad_decomp.postprocessing.block_merger.BlockMerger`; with 0, a
                detection comes at most one window after its centre.

        Yields:
            Final detections, which may be none, and the seconds of the video seen so far.

        Raises:
            VideoReadError: If the video is broken.
        """
        merger = BlockMerger(self.merger, video.video_id, block)
        yield from self._merge(merger, video, frames, batch_size)

    def _merge(
        self, merger: BlockMerger, video: VideoInput, frames: FrameSource, batch_size: int
    ) -> Iterator[tuple[Detections, float]]:
        """What a merger makes of the windows of a video, see :meth:`detect_in_blocks`."""
        hop, seconds = self.pipeline.hop(), 0.0
        batches = prefetch(self.preprocess((video, frames), batch_size))
        for batch in batches:
            for sample in self.forward(batch):
                window = WindowResult.from_sample(sample.to_dict())
                start, seconds = window.window[0] / frames.fps, window.span[1]
                following = seconds if hop is None else start + hop / frames.fps
                yield merger.add(window, following), seconds
        end = seconds if frames.duration is None else frames.duration
        yield merger.finish(end), end

    def preprocess(
        self, inputs: tuple[VideoInput, FrameSource], batch_size: int = 1
    ) -> Iterator[dict]:
        """Batches of windows of one video, whose frames are decoded once."""
        windows = self.pipeline.windows(*inputs)
        while batch := list(islice(windows, batch_size)):
            yield self.collate_fn(batch)

    @torch.no_grad()
    def forward(self, inputs: dict) -> list[TADDataSample]:
        """Candidates of a batch of windows; the network keeps the length of its windows."""
        with self._network_lock, self.precision.autocast():
            return self.model.test_step(inputs)

    def visualize(
        self,
        inputs: list[VideoInput],
        preds: list[VideoResult],
        show: bool = False,
        return_vis: bool = False,
        wait_time: float = 0,
        vis_out_dir: str = '',
        vid_out_dir: str = '',
        key_frames: int = 12,
        frame_rate: float | None = None,
    ) -> list[np.ndarray] | None:
        """Draw a time line of each video under its key frames.

        Args:
            inputs: The videos; not needed.
            preds: What was found.
            show: Whether to open a window.
            return_vis: Whether to return the pictures.
            wait_time: Seconds that the window stays; 0 means until it is closed.
            vis_out_dir: Folder to write ``<video id>.png`` into.
            vid_out_dir: Folder to write annotated videos into, ``<video id>.mp4``.
            key_frames: Frames to show, evenly spaced; 0 for none.
            frame_rate: Images per second of folders of frames.

        Returns:
            ``(H, W, 3)`` uint8 RGB pictures; None without ``return_vis``.
        """
        if not (vid_out_dir or show or return_vis or vis_out_dir):
            return None
        from mmtad_decomp.visualization import figure_to_image, save_figure

        from .pictures import draw_result, write_annotated_video  # late: matplotlib

        for result in preds if vid_out_dir else ():
            file = drawn_file(vid_out_dir, result.video, ANNOTATED)
            write_annotated_video(result, file, frame_rate)
        if not (show or return_vis or vis_out_dir):
            return None
        pictures = []
        for result in preds:
            figure = draw_result(result, key_frames, frame_rate)
            if vis_out_dir:
                save_figure(figure, drawn_file(vis_out_dir, result.video, PICTURE))
            if show or return_vis:
                image = figure_to_image(figure)
            if show:
                name = result.video.video_id
                self.visualizer.show(image, win_name=name, wait_time=wait_time)
            if return_vis:  # else there may be too many to hold
                pictures.append(image)
        return pictures if return_vis else None

    def postprocess(
        self,
        preds: list[VideoResult],
        visualization: list[np.ndarray] | None,
        return_datasample: bool = False,
        print_result: bool = False,
        pred_out_file: str = '',
    ) -> dict:
        """Pack what was found.

        Args:
            preds: What was found.
            visualization: Pictures.
            return_datasample: Return data samples in place of plain dicts.
            print_result: Whether to print the predictions.
            pred_out_file: File to write; its ending gives the format, see
                :func:`~mmtad_decomp.apis.exports.write_results`.
        """
        predictions = [pred.to_dict() for pred in preds]
        if pred_out_file:
            write_results(pred_out_file, preds)
        if print_result:
            print(predictions)
        if return_datasample:
            predictions = [pred.to_datasample() for pred in preds]
        return dict(predictions=predictions, visualization=visualization)


def _demand_device(device: str | None) -> None:
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # of a build without, or without the device
        reason = str(error).splitlines()[0]
        raise ModelError(
            f'device {device} cannot be used ({reason}); leave it out for the fastest there is'
        ) from error


def _post_processor(config: Config) -> dict | None:
    """Config of the post-processor of the test.

    An external classifier has no scores for new videos, so it is left out.
    """
    evaluators = config.get('test_evaluator') or []
    evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
    stated = [e['post_processor'] for e in evaluators if 'post_processor' in e]
    processor = copy.deepcopy(stated[0]) if stated else dict(type='PostProcessor')
    if processor is not None and processor.pop('classifier', None) is not None:
        processor.pop('max_proposals', None)
        processor.pop('classify', None)
    return processor
