"""Time and peak memory of one training step of configs at full size, on generated frames.

Every config runs in a process of its own, with random weights, at its own window and frame size.
The first step warms up; the time is the median of ``--steps`` more. The peak is the process's
largest resident set on a CPU and the allocator's peak on a GPU. Rows are written as they come.

Example:
    python tools/benchmarks/training_step.py configs/baseline/*_thumos.py --windows 1
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from mmengine.config import Config


def frame_size(config: Config) -> tuple[int, int]:
    """Height and width of the frames that the training pipeline crops.

    Raises:
        SystemExit: If it crops none.
    """
    from tools.config_reading import last_crop

    size = last_crop(config.train_dataloader.dataset.pipeline)
    if size is None:
        raise SystemExit(f'error: {config.filename} crops no frames; give --size')
    return size


def without_pretrained(node: object) -> None:
    """Switch pretrained weights off, in place."""
    from mmtad_decomp.utils import class_name

    if isinstance(node, dict):
        if node.get('pretrained') is not None:
            node.update(pretrained=None, pretrained2d=False)
        if class_name(node.get('type')) == 'VideoEncoder':
            node['init_cfg'] = None
    for value in node.values() if isinstance(node, dict) else ():
        without_pretrained(value)


def generated_batch(
    windows: int, frames: int, size: tuple[int, int], num_classes: int
) -> dict[str, dict | list]:
    """Windows of noise and flow with three actions each, as a data loader delivers them."""
    import torch
    from mmengine.structures import InstanceData

    from mmtad_decomp.structures import TADDataSample, TimeGrid

    samples = []
    for index in range(windows):
        grid = TimeGrid(fps=10)
        meta = dict(video_id=str(index), window=(0, frames), num_steps=frames)
        sample = TADDataSample(metainfo=dict(meta, time_grid=grid, duration=frames / 10))
        begin = torch.tensor([0.1, 0.4, 0.7]) * frames / 10
        sample.gt_instances = InstanceData(
            segments=torch.stack([begin, begin + 0.2 * frames / 10], dim=1),
            labels=torch.arange(3) % num_classes,
        )
        samples.append(sample)
    clips = [torch.randint(0, 256, (frames, 3, *size), dtype=torch.uint8) for _ in range(windows)]
    flow = [torch.randn(frames, 2, *size) for _ in range(windows)]
    return dict(inputs=dict(frames=clips, flow=flow), data_samples=samples)


class TrainingStep:
    """Training steps of a config, on generated frames.

    Args:
        path: The config.
        windows: Windows in the batch; None takes the config's.
        device: ``'cpu'`` or ``'cuda'``.
        size: Side of a frame in pixels; None takes the config's.
        options: Options of the config to override.

    Attributes:
        model: The model.
        shape: Windows, frames, height and width of the input.
    """

    def __init__(
        self,
        path: str,
        windows: int | None = None,
        device: str = 'cpu',
        size: int | None = None,
        options: Sequence[str] = (),
    ) -> None:
        from mmaction.registry import MODELS
        from mmengine.config import Config
        from mmengine.optim import build_optim_wrapper
        from mmengine.registry import init_default_scope

        from tools.config_overrides import override

        config = Config.fromfile(path)
        override(config, options)
        init_default_scope('mmaction')
        without_pretrained(config.model)
        self.model = MODELS.build(config.model).to(device).train()
        self.wrapper = build_optim_wrapper(self.model, config.optim_wrapper)
        self.device, self.num_classes = device, config.num_classes
        windows = windows or config.train_dataloader.batch_size
        height, width = (size, size) if size else frame_size(config)
        self.shape = (windows, config.window, height, width)

    def seconds(self) -> float:
        """Take one step; its wall time, without that of generating the batch."""
        import torch

        windows, frames, *_ = self.shape
        data = generated_batch(windows, frames, self.shape[2:], self.num_classes)
        start = time.perf_counter()
        self.model.train_step(data, self.wrapper)
        if self.device == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter() - start


def measure(
    path: str,
    windows: int,
    device: str,
    size: int | None = None,
    options: Sequence[str] = (),
    steps: int = 1,
) -> dict:
    """Training steps of a config in this process.

    Args:
        path: The config.
        windows: Windows in the batch.
        device: ``'cpu'`` or ``'cuda'``.
        size: Side of a frame in pixels; None takes the config's.
        options: Options of the config to override.
        steps: Steps to time after the first.

    Returns:
        ``seconds``, the median of the timed steps, ``gib`` at the peak, ``parameters`` in
        millions, and the shape of the input.
    """
    import torch

    step = TrainingStep(path, windows, device, size, options)
    step.seconds()
    seconds = statistics.median(step.seconds() for _ in range(steps))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device == 'cuda':
        peak = torch.cuda.max_memory_allocated() / 2**30
    parameters = sum(p.numel() for p in step.model.parameters()) / 1e6
    return dict(
        seconds=round(seconds, 3),
        gib=round(peak, 2),
        parameters=round(parameters, 1),
        shape=list(step.shape),
    )


def main(argv: list[str] | None = None) -> None:
    """Print a table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+')
    parser.add_argument('--windows', type=int, default=1, help='windows in the batch')
    parser.add_argument('--size', type=int, help="side of a frame (default: the config's)")
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: a GPU if there is one')
    parser.add_argument(
        '--steps', type=int, default=1, help='steps to time after the first (default: 1)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings of the configs to override',
    )
    parser.add_argument('--json', help='write the rows to this file')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.steps < 1:
        parser.error(f'--steps must be at least 1, got {args.steps}')

    import torch

    from mmtad_decomp.utils import processor_name, write_json

    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.child:
        settings = (args.windows, args.device, args.size, args.cfg_options, args.steps)
        print(json.dumps(measure(args.configs[0], *settings)))
        return
    name = torch.cuda.get_device_name() if args.device == 'cuda' else processor_name()
    rows = {}
    print('| config | windows x frames x height x width | parameters, M | peak GiB | seconds |')
    print('| --- | --- | ---: | ---: | ---: |')
    for path in args.configs:
        command = [sys.executable, __file__, path, '--child', f'--device={args.device}']
        command += [f'--windows={args.windows}', f'--steps={args.steps}']
        command += [f'--size={args.size}'] if args.size else []
        command += ['--cfg-options', *args.cfg_options] if args.cfg_options else []
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        row = rows[path] = json.loads(output.splitlines()[-1])
        shape = ' x '.join(map(str, row['shape']))
        cells = (
            '/'.join(Path(path).with_suffix('').parts[-2:]),
            shape,
            row['parameters'],
            row['gib'],
            row['seconds'],
        )
        print(f'| {" | ".join(map(str, cells))} |', flush=True)
        if args.json:
            write_json(args.json, dict(device=name, torch=torch.__version__, rows=rows))


if __name__ == '__main__':
    sys.exit(run_main(main))
