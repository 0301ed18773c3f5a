"""Time a training step of a config with the compiled operators and in plain PyTorch, interleaved.

python tools/benchmarks/ops_in_training.py configs/decomp/actionformer_tsm18_fir.py

Weights and frames are random.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.benchmarks.training_step import frame_size, generated_batch, without_pretrained
from tools.command_line import run_main


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--windows', type=int, default=2, help='windows in the batch')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--json', type=Path, help='where the numbers go')
    args = parser.parse_args(argv)

    import torch
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    from mmtad_decomp.ops import DEVICES, plain_pytorch
    from mmtad_decomp.utils import write_json

    if args.device not in DEVICES:
        parser.error(f'the operators are built for {", ".join(sorted(DEVICES))} only')
    torch.set_num_threads(args.threads)
    init_default_scope('mmaction')
    config = Config.fromfile(args.config)
    without_pretrained(config.model)
    model = MODELS.build(config.model).to(args.device).train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    torch.manual_seed(0)
    data = generated_batch(args.windows, config.window, frame_size(config), config.num_classes)
    implementations: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
        'compiled': contextlib.nullcontext,
        'plain': plain_pytorch,
    }

    times: dict[str, list[float]] = {name: [] for name in implementations}
    for index in range(args.rounds + 1):
        for name, values in times.items():
            begin = time.perf_counter()
            with implementations[name]():
                model.train_step(data, wrapper)
            if args.device == 'cuda':
                torch.cuda.synchronize()
            if index:  # the first round warms up
                values.append(time.perf_counter() - begin)
    seconds = {name: round(statistics.median(values), 4) for name, values in times.items()}
    ratio = round(seconds['plain'] / seconds['compiled'], 3)
    print(f'seconds: {seconds}, plain / compiled: {ratio}')
    if args.json:
        settings = {key: value for key, value in vars(args).items() if key != 'json'}
        write_json(args.json, dict(settings, seconds=seconds, ratio=ratio))


if __name__ == '__main__':
    sys.exit(run_main(main))
