"""Export a detector to ONNX and to ``torch.export``, and compare both with PyTorch.

Takes a published student, or any config with a checkpoint: of a distiller the student is exported.
Writes ``PREFIX.onnx`` and ``PREFIX.pt2``. Both take any number of windows and any length up to
``--longest``; docs/en/user_guides/deployment.md describes inputs and outputs.

Example::

    python tools/deployment/export.py published/fir.py published/fir.pth deployed/fir
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import (
    add_cfg_options_argument,
    add_traceback_argument,
    demand_config_file,
    run_main,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmengine.config import Config
    from torch import nn

FORMATS = ('pt2', 'onnx')
TOLERANCE = 1e-4


def load_detector(config: Config, checkpoint: str) -> nn.Module:
    """The detector that is left of a config for inference, with the checkpoint's weights.

    Args:
        config: Config of the training, or of the published student.
        checkpoint: Its checkpoint, or its work directory.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If it cannot be read, does not fit the config, or was trained with another
            network.
    """
    from mmtad_decomp.apis.publishing import (
        build_published,
        demand_trained_network,
        detector_state,
        published_config,
    )
    from mmtad_decomp.utils import load_checkpoint, resolve_checkpoint

    path = resolve_checkpoint(checkpoint)
    content = load_checkpoint(path)
    demand_trained_network(config, content, path)
    state = detector_state(config, content)
    return build_published(published_config(config), state, path).eval()


def export(
    detector: nn.Module,
    prefix: Path,
    formats: tuple[str, ...] = FORMATS,
    longest: int = 4096,
    size: tuple[int, int] = (224, 224),
    facts: Mapping[str, object] | None = None,
) -> dict[str, dict[str, float]]:
    """Write the files and compare them with PyTorch, for other shapes than they were made with.

    Args:
        detector: The detector.
        prefix: Path of the files without their endings; they are written when all are right.
        formats: Of ``FORMATS``.
        longest: Greatest length in feature steps.
        size: Height and width of frames, which are fixed.
        facts: More metadata, of plain types.

    Returns:
        Greatest difference of each output from PyTorch's, by format.

    Raises:
        ExportError: If the detector does not export, or a difference is above 1e-4.
    """
    import torch

    from mmtad_decomp.deployment import (
        DeployableDetector,
        ExportError,
        differences,
        example_inputs,
        export_program,
        run_onnx,
        write_onnx,
        write_program,
    )
    from mmtad_decomp.utils import atomic_write

    model = DeployableDetector(detector, longest, facts)
    units = 3 if model.dims.multiple > 1 else 8
    print('recording the detector', flush=True)
    program = export_program(model, example_inputs(model, 2, units, size))
    write = {'onnx': write_onnx, 'pt2': write_program}
    run = {
        'onnx': run_onnx,
        'pt2': lambda path, inputs: torch.export.load(path).module()(*inputs),
    }
    inputs = example_inputs(model, 3, units + 2, size, seed=1)
    compared = '{} windows of {} steps'.format(*inputs[1].shape)
    with torch.no_grad():
        wanted = model(*inputs)
    found, drafts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in formats:
            draft = Path(folder, f'model.{name}')
            print(f'{name}: making the file', flush=True)
            write[name](model, program, draft)
            print(f'{name}: comparing with PyTorch on {compared}', flush=True)
            found[name] = differences(model.names, run[name](draft, inputs), wanted)
            if not max(found[name].values()) <= TOLERANCE:
                raise ExportError(f'the {name} file would differ from PyTorch: {found[name]}')
            drafts[name] = draft.read_bytes()
    for name, content in drafts.items():
        with atomic_write(prefix.with_name(f'{prefix.name}.{name}')) as file:
            file.write(content)
    return found


def facts_of_test(config: Config) -> dict[str, object]:
    """What a user of the files has to know of a config: classes, window, clock of its steps.

    Step i of the input lies ``input_offset + (start + i) * input_stride`` frames into the video.
    """
    from mmtad_decomp.datasets import TADDataset
    from mmtad_decomp.utils import class_name
    from tools.config_reading import test_dataset

    dataset = test_dataset(config)
    if not dataset:
        return {}
    facts = {key: dataset.get(key) for key in ('sample_fps', 'num_samples', 'window')}
    facts |= dict(input_stride=1, input_offset=0.5)
    if dataset.get('source') == 'feature':
        defaults = inspect.signature(TADDataset).parameters
        stride, frames = (
            dataset.get(key, defaults[key].default) for key in ('feature_stride', 'feature_frames')
        )
        facts |= dict(input_stride=stride, input_offset=frames / 2)
    for step in dataset.get('pipeline') or ():
        if class_name(step['type']) == 'ResizeFeatures':
            facts['resized_steps'] = step['steps']
    classes = (dataset.get('metainfo') or {}).get('classes')
    facts['classes'] = None if classes is None else list(classes)
    return {key: value for key, value in facts.items() if value is not None}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the published student, or of the training')
    parser.add_argument('checkpoint', help='its checkpoint file or work directory')
    parser.add_argument('prefix', help='path of the exported files without their endings')
    parser.add_argument('--format', choices=[*FORMATS, 'both'], default='both')
    parser.add_argument(
        '--longest', type=int, default=4096, help='greatest length in feature steps (4096)'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="pixels of a frame (default: of the test's crop, else 224 224)",
    )
    add_cfg_options_argument(parser)
    add_traceback_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Export, compare and print; returns the differences."""
    args = parse_args(argv)
    demand_config_file(args.config)
    from mmengine.config import Config

    from mmtad_decomp.utils import demand_writable
    from tools.config_overrides import override
    from tools.config_reading import frame_size

    formats = FORMATS if args.format == 'both' else (args.format,)
    prefix = Path(args.prefix)
    for name in formats:
        demand_writable(f'{prefix}.{name}', 'prefix')
    config = Config.fromfile(args.config)
    override(config, args.cfg_options or ())
    detector = load_detector(config, args.checkpoint)
    pixels = tuple(args.size or frame_size(config))
    found = export(detector, prefix, formats, args.longest, pixels, facts_of_test(config))
    for name, errors in found.items():
        path = Path(f'{prefix}.{name}')
        size = path.stat().st_size / 2**20
        print(f'{path}: {size:.1f} MiB, differs from PyTorch by {max(errors.values()):.1e}')
    return found


if __name__ == '__main__':
    sys.exit(run_main(main))
