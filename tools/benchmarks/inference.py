"""Cost of inference, split into decoding, flow, network and post-processing.

Five systems look at the same minute of video in one process, interleaved round by round: the RGB
baseline, the decomposed student, and two streams (RGB and optical flow, a network each) with flow
by TV-L1 and by DIS on the network's own frames, and by TV-L1 on 224x224 pixels at 30 frames per
second, for which the paper gives the cost of flow. The last one is left out where the video has
fewer. Times are of the processor, of one thread, so that other work on the machine counts for
little. Networks have random weights, which cost as much as trained ones.

Example:
    python tools/benchmarks/inference.py VIDEO --json docs/en/benchmarks/inference.json
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.data.flow.estimators import METHODS, flow_of_frames

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

    from mmtad_decomp.apis import TADInferencer, VideoInput

PARTS = ('decoding', 'flow', 'network', 'post-processing')


class System(NamedTuple):
    """One row of the table.

    Attributes:
        folder: Folder of the RGB network's config.
        estimator: Name of the estimator of the second stream's flow.
        flow_input: Pixels (of a square) and frames per second that flow is computed from, where it
            is not the network's own frames.
    """

    folder: str
    estimator: str | None = None
    flow_input: tuple[int, float] | None = None


SYSTEMS = {
    'RGB baseline': System('baseline'),
    'decomposed student': System('decomp'),
    'two streams, TV-L1 at 224x224 and 30 fps': System('baseline', 'tvl1', (224, 30.0)),
    'two streams, TV-L1': System('baseline', 'tvl1'),
    'two streams, DIS': System('baseline', 'dis'),
}


def fits(system: System, video: Path) -> bool:
    """Whether the video has the pixels and the frames that the system's flow is computed from."""
    import cv2

    if system.flow_input is None:
        return True
    capture = cv2.VideoCapture(str(video))
    sides = (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
    pixels, rate = system.flow_input
    return min(map(capture.get, sides)) >= pixels and round(capture.get(cv2.CAP_PROP_FPS)) >= rate


class Clock:
    """Seconds of the processor spent in each part."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside as a part."""
        begin = time.process_time()
        yield
        self.seconds[name] += time.process_time() - begin


def random_weights(config: Config, folder: Path, name: str) -> Path:
    """A checkpoint with random weights that holds its config."""
    import torch
    from mmaction.registry import MODELS

    from mmtad_decomp.apis.publishing import published_config

    published = published_config(config)
    torch.manual_seed(0)
    state = MODELS.build(published.model).state_dict()
    path = folder / f'{name}.pth'
    torch.save(dict(meta=dict(cfg=published.pretty_text), state_dict=state), path)
    return path


def for_measuring(config: Config, args: argparse.Namespace) -> Config:
    """The config without weights to download, with the command's sizes and detector options."""
    from tools.config_overrides import parse_pairs

    place, detector = 'model', config.model
    for part in ('student', 'detector'):
        if part in detector:
            place, detector = f'{place}.{part}', detector[part]
    options = parse_pairs('--detector-options', args.detector_options)
    config.merge_from_dict({f'{place}.{key}': value for key, value in options.items()})
    pixels, window = args.pixels, args.window
    detector.backbone.init_cfg = None
    detector.backbone.backbone.update(pretrained=None, pretrained2d=False)
    dataset = config.test_dataloader.dataset
    if pixels is not None:
        dataset.pipeline[0].short_side = dataset.pipeline[1].size = pixels
    if window is not None:
        dataset.window = detector.data_preprocessor.pad_to = window
    return config


def squares(frames: np.ndarray) -> np.ndarray:
    """The middle square of each of ``(T, H, W, C)`` frames."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


def shrunk(flow: np.ndarray, steps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow of some steps at the size of other frames: ``(T, side, side, 2)`` to ``(T', H, W, 2)``.

    Vectors are in pixels, so they shrink with the picture.
    """
    import cv2

    height, width = size
    scale = np.float32(min(size) / flow.shape[1])
    return np.stack([cv2.resize(flow[step], (width, height)) * scale for step in steps])


def look(
    inferencer: TADInferencer,
    second: torch.nn.Module | None,
    system: System,
    video: VideoInput,
    seconds: float,
) -> dict[str, float]:
    """Look at the first seconds of a video; returns seconds of each part.

    Args:
        inferencer: The RGB network with its windows, transforms and post-processing.
        second: Network of the flow; its candidates are pooled with those of the first.
        system: What is measured.
        video: The video.
        seconds: Length to look at.
    """
    import torch

    from mmtad_decomp.datasets.frame_source import VideoSource
    from mmtad_decomp.datasets.windows import window_starts
    from mmtad_decomp.postprocessing import WindowResult
    from mmtad_decomp.postprocessing.block_merger import BlockMerger

    clock, pipeline = Clock(), inferencer.pipeline
    with clock.part('decoding'):
        source = pipeline.open(video)
        count = round(seconds * source.fps)
        frames = np.stack([frame for _, frame in zip(range(count), source)])
    flow = None
    if system.estimator is not None:
        flow_frames, flow_steps = frames, np.arange(len(frames))
        if system.flow_input is not None:
            pixels, rate = system.flow_input
            with clock.part('decoding'):
                fine = VideoSource(video.path, rate, pixels)
                every = [frame for _, frame in zip(range(round(seconds * rate)), fine)]
                flow_frames = squares(np.stack(every))
            flow_steps = (flow_steps * rate / source.fps).astype(int).clip(max=len(every) - 1)
        with clock.part('flow'):
            flow = np.stack(list(flow_of_frames(flow_frames, METHODS[system.estimator]())))
            if system.flow_input is not None:
                flow = shrunk(flow, flow_steps, frames.shape[1:3])
    merger = BlockMerger(inferencer.merger, video.video_id)
    starts = window_starts(len(frames), min(pipeline.window, len(frames)), pipeline.overlap)
    for start, following in zip(starts, [*starts[1:], len(frames)]):
        chosen = slice(start, start + pipeline.window)
        with clock.part('decoding'):
            window = pipeline._describe(video, source, start, frames[chosen])
            if flow is not None:
                window['flow'] = flow[chosen]
            batch = inferencer.collate_fn([pipeline.transform(window)])
        with clock.part('network'), torch.no_grad():
            found = list(inferencer.forward(batch))
            if second is not None:
                found += second.test_step(batch)
        with clock.part('post-processing'):
            for sample in found:
                merger.add(WindowResult.from_sample(sample.to_dict()), following / source.fps)
    with clock.part('post-processing'):
        merger.finish(seconds)
    return clock.seconds


def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Median seconds of the processor per minute of video, by system and part."""
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtad_decomp.apis import TADInferencer, VideoInput
    from mmtad_decomp.apis.publishing import published_config
    from mmtad_decomp.apis.speed_up import speed_up_on_cpu

    seconds = args.seconds

    def read(kind: str, ending: str = '') -> Config:
        config = Config.fromfile(configs / kind / f'{args.system}{ending}.py')
        return for_measuring(config, args)

    init_default_scope('mmaction')
    configs = Path(__file__).resolve().parents[2] / 'configs'
    with tempfile.TemporaryDirectory() as folder:
        networks = {}
        for kind in ('baseline', 'decomp'):
            path = random_weights(read(kind), Path(folder), kind)
            networks[kind] = TADInferencer(path, device='cpu', show_progress=False)
    flow_network = MODELS.build(published_config(read('teacher', '_of')).model).eval()
    speed_up_on_cpu(flow_network)
    source = VideoInput(str(args.video), 'video')
    systems = {title: system for title, system in SYSTEMS.items() if fits(system, args.video)}
    runs: dict[str, list[dict[str, float]]] = {title: [] for title in systems}
    look(networks['decomp'], flow_network, SYSTEMS['two streams, DIS'], source, 1.0)  # warms up
    for number in range(1, args.rounds + 1):
        for title, system in systems.items():
            second = flow_network if system.estimator else None
            times = look(networks[system.folder], second, system, source, seconds)
            runs[title].append(times)
            total = sum(times.values())
            print(f'round {number}, {title}: {total:.1f} s of the processor', flush=True)
    return {
        title: {
            part: float(np.median([times[part] for times in rows])) * 60 / seconds
            for part in PARTS
        }
        for title, rows in runs.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    base = sum(results['RGB baseline'].values())
    lines = [
        f'| seconds per minute of video | {" | ".join(PARTS)} | all | of the baseline |',
        '| --- |' + ' ---: |' * (len(PARTS) + 2),
    ]
    for system, parts in results.items():
        total = sum(parts.values())
        cells = ' | '.join(f'{parts[part]:.2f}' for part in PARTS)
        lines.append(f'| {system} | {cells} | {total:.2f} | {total / base:.2f} |')
    return '\n'.join(lines)


def bars(results: dict[str, dict[str, float]]) -> dict[str, float]:
    """How much the student costs of its baseline, and the two-stream systems of the student."""
    total = {system: sum(parts.values()) for system, parts in results.items()}
    student = total['decomposed student']
    return {
        'decomposed student / RGB baseline': student / total['RGB baseline'],
        **{
            f'{name} / decomposed student': total[name] / student
            for name in results
            if SYSTEMS[name].estimator is not None
        },
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('video', type=Path, help='a video with motion in it')
    parser.add_argument('--seconds', type=float, default=60.0, help='of the video to look at')
    parser.add_argument('--rounds', type=int, default=3, help='of which the median counts')
    parser.add_argument(
        '--system',
        default='actionformer_tsm18_thumos',
        help='name of the configs in baseline, decomp and teacher (default: %(default)s)',
    )
    parser.add_argument(
        '--detector-options',
        nargs='+',
        default=(),
        metavar='KEY=VALUE',
        help='other settings of all detectors: backbone.backbone.base_channels=32',
    )
    parser.add_argument(
        '--pixels',
        type=int,
        help="shorter side and crop of the frames, flow included (default: the config's, 110 "
        'and 96)',
    )
    parser.add_argument(
        '--window', type=int, help="frames of a window (default: the config's, 256)"
    )
    parser.add_argument('--json', type=Path, help='where the numbers go')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write.

    Raises:
        ValueError: If an option is out of range.
    """
    args = parse_args(argv)
    import cv2
    import torch

    from mmtad_decomp.utils import write_json
    from mmtad_decomp.utils.hardware import processor_name

    if args.seconds <= 0 or args.rounds < 1:
        raise ValueError('--seconds must be above 0 and --rounds at least 1')
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    before = os.getloadavg()[0]
    results = measure(args)
    ratios = bars(results)
    print(table(results))
    for name, ratio in ratios.items():
        print(f'{name}: {ratio:.2f}')
    if args.json is not None:
        content = dict(
            processor=processor_name(),
            load_before_and_after=[before, os.getloadavg()[0]],
            seconds=args.seconds,
            rounds=args.rounds,
            system=args.system,
            detector_options=list(args.detector_options),
            pixels=args.pixels,
            window=args.window,
            torch=torch.__version__,
            opencv=cv2.__version__,
            seconds_per_minute=results,
            ratios=ratios,
        )
        write_json(args.json, content, indent=1)


if __name__ == '__main__':
    sys.exit(run_main(main))
