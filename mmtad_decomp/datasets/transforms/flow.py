"""Loading of optical flow that was extracted beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmtad_decomp.utils import path_below

from ..flow_store import FlowHeader, read_flow, read_header
from ..video_stream import VideoReadError
from ..windows import num_sampled_frames

_COMMAND = 'python tools/data/extract_flow.py CONFIG'
_CONFIG = 'where CONFIG is this config'


@TRANSFORMS.register_module()
class LoadOpticalFlow(BaseTransform):
    """Read a window's optical flow from the files of ``tools/data/extract_flow.py``.

    Step ``t`` is the motion from frame ``t - 1`` to frame ``t`` of the video at the sampled rate,
    in pixels, at the places of frame ``t - 1``. The video's first step repeats the second. So the
    flow has a step for each frame, in step with :class:`TemporalGradientInput`, but the first step
    of a window inside the video shows the motion from the frame before it.

    It can stand after a loader of frames, for a student on RGB and a teacher on flow, or take the
    place of one. The data set has every file checked before it serves a window.

    Args:
        folder: Folder of the files, ``{video id}.npz``.
        frames: Config of the loader whose frames the flow is made from, such as
            ``dict(type='LoadVideoFrames', short_side=54)``: those that the student sees.
    """

    def __init__(self, folder: str, frames: dict) -> None:
        self.folder = Path(folder)
        self.short_side = frames.get('short_side')

    def transform(self, results: dict) -> dict:
        """Set ``results['flow']`` to ``(T, H, W, 2)`` float32, x and y in pixels.

        Raises:
            FileNotFoundError: If the flow was not extracted.
            VideoReadError: If it is damaged, too short, or of another size than the frames.
        """
        file = self.file_of(results['video_id'])
        flow = read_flow(file, *results['window'])
        frames = results.get('frames')
        if frames is not None and frames.shape[1:3] != flow.shape[1:3]:
            raise VideoReadError(
                f'flow {file} is {flow.shape[1]}x{flow.shape[2]} pixels (height x width), the '
                f'frames are {frames.shape[1]}x{frames.shape[2]}: put LoadOpticalFlow right after '
                'the loader of the frames, with the same `short_side`, and extract the flow with '
                f'`{_COMMAND} --overwrite`, {_CONFIG}'
            )
        results['flow'] = flow
        return results

    def file_of(self, video_id: str) -> Path:
        """The flow file of a video."""
        return path_below(self.folder, f'{video_id}.npz', 'the video id of')

    def check_videos(self, windows: Sequence[Mapping]) -> None:
        """Check the flow files of all videos; the data set calls it before anything is loaded.

        Args:
            windows: Descriptions of windows, as the data set lists them.

        Raises:
            FileNotFoundError: If files are missing.
            ValueError: If features are loaded, or a file does not fit the frames.
        """
        videos = {window['video_id']: window for window in windows}
        if any('feature_steps' in window for window in videos.values()):
            raise ValueError(
                "LoadOpticalFlow goes with frames (source='video' or 'frames'), not with features"
            )
        missing = [str(self.file_of(name)) for name in videos if not self.file_of(name).is_file()]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(videos)} videos have no optical flow ({missing[0]}'
                f'{", …" if len(missing) > 1 else ""}); make it with `{_COMMAND}`, {_CONFIG}, or '
                'set `folder` of LoadOpticalFlow'
            )
        methods: dict[str, str] = {}
        for name, window in videos.items():
            header = read_header(self.file_of(name))
            problem = self.mismatch(header, window)
            if problem is not None:
                raise ValueError(
                    f'flow {self.file_of(name)} {problem}; extract it again with `{_COMMAND} '
                    f'--overwrite`, {_CONFIG}'
                )
            methods.setdefault(header.method, name)
        if len(methods) > 1:
            shown = ' and '.join(f'{self.file_of(n)} ({m})' for m, n in methods.items())
            raise ValueError(
                f'flow of different methods in one data set: {shown}; extract all of it by one '
                f'method, `{_COMMAND} --method METHOD --overwrite`, {_CONFIG}'
            )
        print_log(
            f'optical flow of {len(videos)} videos in {self.folder}: {next(iter(methods), "")}',
            logger='current',
        )

    def mismatch(self, header: FlowHeader, window: Mapping) -> str | None:
        """How a flow file does not fit the video of a window; None if it does."""
        fps = window['time_grid'].fps
        steps = num_sampled_frames(window['duration'], fps)
        if abs(header.fps - fps) > 1e-6 * fps:
            return f'was made at {header.fps:g} frames per second, frames are sampled at {fps:g}'
        if header.short_side != self.short_side:
            return (
                f'was made at a short side of {header.short_side} pixels, the config asks for '
                f'{self.short_side}'
            )
        if header.steps != steps:
            return f'has {header.steps} steps, the video {steps} frames'
        return None
