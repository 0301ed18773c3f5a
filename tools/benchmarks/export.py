"""Which parts export to ONNX and ``torch.export``, and how far the files are from PyTorch.

Writes docs/en/benchmarks/export.json and export.md. Every registered head, every fusion, and the
backbones of the configs are exported in small detectors with random weights and compared on other
shapes than they were exported with.

Example::

    python tools/benchmarks/export.py
    python tools/benchmarks/export.py --only GTADHead SumFusion   # replace these rows
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.deployment.export import export

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / 'docs/en/benchmarks/export'
MODEL_CONFIGS = ROOT / 'configs/_base_/models'
WIDTH, NUM_CLASSES, MAX_LEVELS, SIZE = 128, 3, 2, (32, 32)
WINDOWED = ('SelfAttentionFusion', 'CrossAttentionFusion', 'LocalAttentiveFusion')
BACKBONES = {
    'ResNetTSM, depth 18, narrow': 'actionformer_tsm18narrow',
    'ResNetTSM, depth 18': 'actionformer_tsm18_small',
    'InceptionI3D': 'actionformer_i3d',
    'FusedSlowFast, depth 50': 'actionformer_slowfast50',
}
LOCALIZERS = {'BMN': 'mixin/bmn_activitynet_baseline', 'TEM': 'mixin/tem_activitynet_baseline'}


def registered(*bases: type) -> list[str]:
    """Names of this package's modules of some kinds."""
    from mmaction.registry import MODELS

    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if inspect.isclass(cls)
        and issubclass(cls, bases)
        and cls.__module__.startswith('mmtad_decomp.')
    )


def head_configs() -> dict[str, dict]:
    """The small config of every head, with at most two levels."""
    from mmaction.registry import MODELS
    from mmengine.config import Config

    from mmtad_decomp.models.heads import TemporalHead

    configs = {}
    for path in sorted(MODEL_CONFIGS.glob('*_tsm18_small.py')):
        head = Config.fromfile(path).model.head.to_dict()
        parameters = inspect.signature(MODELS.get(head['type'])).parameters
        if 'num_levels' in parameters and parameters['num_levels'].default > MAX_LEVELS:
            head['num_levels'] = MAX_LEVELS
        configs[head['type']] = dict(head, num_classes=NUM_CLASSES)
    missing = set(registered(TemporalHead)) - set(configs)
    if missing:
        raise ValueError(f'no configs/_base_/models/<head>_tsm18_small.py for {sorted(missing)}')
    return configs


def cases() -> dict[str, tuple[str, dict]]:
    """Kind and config of every detector, by the name of what it is about."""
    from mmengine.config import Config

    from mmtad_decomp.models.fusions import BranchFusion, SumFusion

    heads = head_configs()
    features: dict[str, object] = dict(
        type='TADDetector',
        data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
        neck=dict(type='TemporalProjection', in_channels=WIDTH, out_channels=WIDTH),
    )
    found = {name: ('head', dict(features, head=head)) for name, head in heads.items()}
    base = dict(features, head=heads['TAGSHead'])

    def decomposed(fusion: dict) -> dict:
        return dict(type='DecomposedDetector', detector=base, fusion=fusion, shared_head=False)

    for name in registered(BranchFusion, SumFusion):
        if name != 'BranchFusion':
            found[name] = ('fusion', decomposed(dict(type=name)))
    for name in WINDOWED:
        found[f'{name}, window 9'] = ('fusion', decomposed(dict(type=name, window=9)))
    for title, name in BACKBONES.items():
        model = Config.fromfile(MODEL_CONFIGS / f'{name}.py').model.to_dict()
        model['neck']['out_channels'] = WIDTH
        found[title] = ('backbone', dict(model, head=heads['TAGSHead']))
    for name, path in LOCALIZERS.items():
        model = Config.fromfile(ROOT / f'configs/{path}.py').model.to_dict()
        found[name] = ('localizer of MMAction2', model)
    return found


def build(model: dict) -> torch.nn.Module:
    """A detector with random weights, none of which is zero."""
    import torch
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    from mmtad_decomp.apis.publishing import published_model

    init_default_scope('mmaction')
    torch.manual_seed(0)
    detector = MODELS.build(published_model(model))
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if not name.startswith('backbone.'):
                parameter.add_(0.02 * torch.randn_like(parameter))
    return detector


def measure(kind: str, model: dict) -> dict[str, Any]:
    """Export one detector in every format; what fails keeps its reason."""
    from mmtad_decomp.deployment import DeployableDetector

    row: dict[str, Any] = dict(kind=kind, onnx=None, pt2=None)
    try:
        detector = build(model)
        deployable = DeployableDetector(detector)
        row['multiple'], row['longest'] = deployable.dims[1:]
        with tempfile.TemporaryDirectory() as folder:
            errors = export(detector, Path(folder, 'model'), size=SIZE)
        row.update({name: max(found.values()) for name, found in errors.items()})
    except (RuntimeError, TypeError) as error:
        row['reason'] = str(error)
    return row


def format_markdown(content: dict[str, Any]) -> str:
    """The page that shows the rows."""

    def cell(value: float | None) -> str:
        return 'no' if value is None else f'{value:.0e}'

    intro = (
        'Made by `tools/benchmarks/export.py` from [export.json](export.json). Small detectors '
        'with random weights are exported for any batch size and any length, then compared with '
        'PyTorch on another batch size and another length, one window half padded. Numbers are '
        'the greatest difference of any output, absolute up to 1 and relative above it; the limit '
        f'is 1e-4. {content["versions"]}; {content["processor"]}.'
    )
    lines = [
        '# Export: supported parts',
        '',
        *textwrap.wrap(intro, 140),
        '',
        '| part | kind | ONNX | torch.export | length | why not |',
        '| --- | --- | ---: | ---: | --- | --- |',
    ]
    for name, row in content['rows'].items():
        length = f'{row["multiple"]} n up to {row["longest"]}' if 'multiple' in row else '-'
        lines.append(
            f'| {name} | {row["kind"]} | {cell(row["onnx"])} | {cell(row["pt2"])} | {length} | '
            f'{row.get("reason", "")} |'
        )
    lines += [
        '',
        'Lengths are in frames for backbones and in feature steps otherwise; n is any number.',
        "Fusions and backbones were exported with TAGS' head. Frames have a fixed size.",
    ]
    return '\n'.join(lines) + '\n'


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure and write; rows are written as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='+', help='measure these rows and keep the others')
    parser.add_argument('--out', type=Path, default=OUT, help='path without ending')
    args = parser.parse_args(argv)

    import onnx
    import onnxruntime
    import torch

    from mmtad_decomp.deployment import OPSET
    from mmtad_decomp.utils import atomic_write, processor_name, write_json

    path, detectors = args.out.with_suffix('.json'), cases()
    rows: dict[str, dict] = {}
    if args.only:
        unknown = set(args.only) - set(detectors)
        if unknown:
            parser.error(f'unknown rows {sorted(unknown)}; there are {sorted(detectors)}')
        rows = json.loads(path.read_text(encoding='utf-8'))['rows'] if path.exists() else {}
    versions = (
        f'PyTorch {torch.__version__}, ONNX {onnx.__version__} (opset {OPSET}), ONNX Runtime '
        f'{onnxruntime.__version__}'
    )
    content = dict(versions=versions, processor=processor_name(), rows=rows)
    for name, (kind, model) in detectors.items():
        if args.only and name not in args.only:
            continue
        rows[name] = measure(kind, model)
        print(name, rows[name], flush=True)
        content['rows'] = {key: rows[key] for key in detectors if key in rows}
        write_json(path, content, indent=1)
        with atomic_write(args.out.with_suffix('.md'), 'w', encoding='utf-8') as file:
            file.write(format_markdown(content))
    return content


if __name__ == '__main__':
    sys.exit(run_main(main))
