"""FLOPs and parameters of a detector at inference, part by part.

A distiller is counted as its student, a decomposed detector without its shared head: only what
runs at inference. FLOPs are MMEngine's: a multiply-add counts as one, element-wise functions and
resampling of frames do not count.

Example::

    python tools/analysis_tools/get_flops.py configs/decomp/actionformer_tsm18_thumos.py \
        --length 256
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import (
    add_cfg_options_argument,
    add_traceback_argument,
    demand_config_file,
    run_main,
)

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config
    from torch import nn

PARTS = ('backbone', 'neck', 'fusion', 'head')


class Complexity(NamedTuple):
    """Cost of a part of a detector.

    Attributes:
        flops: Multiply-adds for the whole batch.
        parameters: Weights, without buffers.
    """

    flops: int
    parameters: int


def count_complexity(
    model: nn.Module, inputs: torch.Tensor, masks: torch.Tensor
) -> dict[str, Complexity]:
    """Count the parts of a detector, and ``'total'``.

    Args:
        model: The detector, as it is used at inference.
        inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features.
        masks: ``(N, T)`` bool. Masked steps count like others.
    """
    import torch
    from mmengine.analysis import FlopAnalyzer, parameter_count

    from mmtad_decomp.ops.complexity import FLOP_HANDLES, TensorsOnly

    traced = TensorsOnly(model.eval())
    analyzer = FlopAnalyzer(traced, (inputs, masks)).set_op_handle(**FLOP_HANDLES)
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        flops = analyzer.by_module()
    parameters = parameter_count(model)
    children = dict(model.named_children())
    parts = [name for name in PARTS if children.get(name) is not None]
    found = {name: Complexity(int(flops[f'model.{name}']), parameters[name]) for name in parts}
    return {**found, 'total': Complexity(int(flops['model']), parameters[''])}


def build_for_inference(config: Config) -> nn.Module:
    """The detector of a config without weights, teacher and shared head, in eval mode."""
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    from mmtad_decomp.apis.publishing import published_model

    init_default_scope(config.get('default_scope', 'mmaction'))
    return MODELS.build(published_model(config.model)).eval()


def example_batch(
    model: nn.Module, length: int | None, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One window that the detector reads, and its mask.

    Args:
        model: The detector.
        length: Frames or feature steps; None takes ``data_preprocessor.pad_to``.
        size: Height and width of frames.

    Raises:
        ValueError: If there is no length, or the backbone does not take it.
    """
    import torch

    preprocessor = model.data_preprocessor
    if length is None:
        length = getattr(preprocessor, 'pad_to', None)
    if length is None:
        raise ValueError('the config has no `model.data_preprocessor.pad_to`: give --length')
    masks = torch.ones(1, length, dtype=torch.bool)
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        return torch.randn(1, feature_channels(model), length), masks
    backbone.check_input(steps=length)
    return torch.randn(1, length, backbone.in_channels or 3, *size), masks


def feature_channels(model: nn.Module) -> int:
    """Channels of the features that a detector without backbone reads."""
    for name, module in model.named_modules():
        if name.split('.')[0] in ('neck', 'head') and hasattr(module, 'in_channels'):
            return module.in_channels
    raise ValueError(f'{type(model).__name__}: neither neck nor head names its in_channels')


def format_report(parts: dict[str, Complexity], shape: tuple[int, ...]) -> str:
    """A table of the parts and the shape of the input."""
    from mmtad_decomp.utils import format_table

    total = parts['total']
    rows = [
        (
            name,
            f'{part.flops / 1e9:.3f}',
            f'{100 * part.flops / max(total.flops, 1):.1f}',
            f'{part.parameters / 1e6:.3f}',
        )
        for name, part in parts.items()
    ]
    table = format_table(('part', 'GFLOPs', '%', 'parameters (M)'), rows)
    return f'input {tuple(shape)}\n{table}\nA multiply-add counts as one FLOP.'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        ValueError: If a length or size is below 1.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--length',
        type=int,
        help='frames or feature steps of the window (default: model.data_preprocessor.pad_to)',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="pixels of a frame (default: of the test's crop, else 224 224)",
    )
    add_cfg_options_argument(parser)
    parser.add_argument('--json', help='write the numbers to this file as well')
    add_traceback_argument(parser)
    args = parser.parse_args(argv)
    for option, numbers in (('--length', [args.length]), ('--size', args.size or ())):
        if any(number is not None and number < 1 for number in numbers):
            raise ValueError(f'{option} must be at least 1, got {" ".join(map(str, numbers))}')
    return args


def main(argv: list[str] | None = None) -> dict[str, Complexity]:
    """Count, print and write; returns the numbers."""
    args = parse_args(argv)
    demand_config_file(args.config)
    from mmengine.config import Config

    from mmtad_decomp.utils import demand_writable, write_json
    from tools.config_overrides import override
    from tools.config_reading import frame_size

    if args.json is not None:
        demand_writable(args.json, '--json')
    config = Config.fromfile(args.config)
    override(config, args.cfg_options or ())
    model = build_for_inference(config)
    inputs, masks = example_batch(model, args.length, tuple(args.size or frame_size(config)))
    parts = count_complexity(model, inputs, masks)
    print(format_report(parts, inputs.shape))
    if args.json is not None:
        content = {name: part._asdict() for name, part in parts.items()}
        write_json(args.json, dict(config=args.config, input=list(inputs.shape), parts=content))
    return parts


if __name__ == '__main__':
    sys.exit(run_main(main))
