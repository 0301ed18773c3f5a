"""Write configs/README.md and the models of the metafiles from the configs themselves.

The numbers that the paper reports, and which config a benchmark's row was trained with, stand in
configs/results.yml; the numbers of the runs are those of docs/en/benchmarks.

    python tools/analysis_tools/list_configs.py           # after adding or changing a config
    python tools/analysis_tools/list_configs.py --check   # says what is out of date
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

ROOT = Path(__file__).resolve().parents[2]
KINDS = ('baseline', 'teacher', 'conventional', 'decomp')
DATA_SETS = {
    'data/thumos14/': "THUMOS'14",
    'data/thumos14_features/': "THUMOS'14 (features)",
    'data/activitynet/': 'ActivityNet-1.3',
    'data/activitynet_features/': 'ActivityNet-1.3 (features)',
    'data/fir/': 'FIR',
    'data/weizmann/': 'Weizmann (composed)',
    'data/salads/': '50 Salads (features)',
    'data/grid/': 'GRID',
    'data/grid_mini/': 'GRID (embedded part)',
    'data/synthetic/': 'Synthetic',
}
BACKBONES = {
    'ResNetTSM': ('TSM', 'TSM-ResNet'),
    'NarrowResNetTSM': ('narrow TSM', 'Narrow-TSM-ResNet'),
    'InceptionI3D': ('I3D', 'Inception-I3D'),
    'FusedSlowFast': ('SlowFast', 'SlowFast-ResNet'),
    None: ('features', 'Features from files'),
}
_ONE_DEPTH = ('InceptionI3D', None)
MODALITIES = {
    'RGBInput': ('', 'RGB'),
    'TemporalGradientInput': ('TG', 'Temporal gradient'),
    'OpticalFlowInput': ('OF', 'Optical flow'),
    'FeatureInput': ('', 'Features'),
    'FeatureInput motion_features': ('motion features', 'Motion features'),
    'FeatureInput 0 to 1024': ('', 'RGB features'),
    'FeatureInput 1024 to 2048': ('flow features', 'Flow features'),
}
COLLECTIONS = {
    'teacher': 'Motion teacher',
    'conventional': 'Conventional cross-modal distillation',
    'decomp': 'Decomposed cross-modal distillation',
}
FUSIONS = {
    'ConcatFusion': 'concatenation',
    'SumFusion': 'sum',
    'SelfAttentionFusion': 'self-attention',
    'CrossAttentionFusion': 'cross-attention',
    'DiffAttentionFusion': 'differential attention',
    'LocalAttentiveFusion': 'local attention',
}
INTRODUCTION = """# Configs

Made by `python tools/analysis_tools/list_configs.py`; do not edit.

Configs are grouped by role:

| folder | role |
| --- | --- |
| `baseline` | reads RGB alone |
| `teacher` | reads motion; the students need it |
| `conventional` | RGB student, conventional cross-modal distillation |
| `decomp` | RGB student, decomposed cross-modal distillation |

Files are named `{head}_{backbone}_{data set}.py`. A teacher's name ends in its input, `_tg`
(temporal gradient, TG) or `_of` (optical flow, OF). A student's name ends in `_of` if its teacher
reads optical flow; otherwise the teacher reads the temporal gradient. Names of systems on features
have no ending: their teachers read other features. `decomp/ablation` has the other fusions,
`_base_` common parts, `custom` a template for [your own
data](../docs/en/user_guides/custom_dataset.md), `studies` trainings over seeds
([guide](../docs/en/user_guides/study.md)), `demo` the shipped student.

Train one with `python tools/train.py configs/FOLDER/NAME.py`. Train the teacher first: a student
loads it from `work_dirs/teacher/`. Configs with optical flow need `python
tools/data/extract_flow.py CONFIG`. Guides: [data](../docs/en/user_guides/datasets.md),
[method](../docs/en/user_guides/method.md), [backbones](../docs/en/user_guides/backbones.md),
[post-processing](../docs/en/user_guides/postprocessing.md), [a new
head](../docs/en/advanced/add_a_head.md).

Each row is a system, each cell a config. Numbers are average mAP in percent. A plain number is
reported by the paper (Lee et al., CVPR 2023). A **bold** number was measured with this package;
its link says how and over which tIoU. A config without a number was built, stepped and tested on
generated input, and has no result here at its own settings. Narrower networks were trained on
[GRID](../docs/en/benchmarks/grid.md) and [FIR](../docs/en/benchmarks/fir.md); the study of [50
Salads](../docs/en/benchmarks/salads.md) is unfinished.
"""
MIXIN = """MMAction2's own detectors and configs, distilled; see
[the guide](../docs/en/user_guides/mix_into_existing_configs.md)."""


@dataclass(frozen=True)
class Entry:
    """One config, as the table and the metafiles show it.

    Attributes:
        name: Path under ``configs/`` without ``.py``.
        kind: One of :data:`KINDS`.
        data: Data set.
        head: Head.
        backbone: Backbone, short.
        architecture: Backbone, as the metafiles name it.
        teacher: ``'TG'``, ``'OF'`` or ``''``; of a teacher its own input.
        modality: Input of the model at test time.
        fusion: Name of the fusion; ``''`` without.
        batch_size: Windows of a training batch.
        epochs: Epochs of training.
    """

    name: str
    kind: str
    data: str
    head: str
    backbone: str
    architecture: str
    teacher: str
    modality: str
    fusion: str
    batch_size: int
    epochs: int

    @property
    def system(self) -> str:
        """Name of the files of a system, without role and motion."""
        stem = self.name.split('/')[-1]
        return stem.removesuffix('_tg').removesuffix('_of')

    @property
    def is_ablation(self) -> bool:
        """Whether the config is one of several fusions of a system."""
        return '/ablation/' in self.name

    @property
    def column(self) -> str:
        """Column of the table."""
        if self.kind == 'teacher':
            return self.teacher
        return {'baseline': 'RGB', 'decomp': 'decomposed'}.get(self.kind, self.kind)


def _modality(config: dict) -> str:
    """Key of an input in :data:`MODALITIES`."""
    from mmtad_decomp.utils import class_name

    channels = 'to'.join(f' {channel} ' for channel in config.get('channels', ()))
    return f'{class_name(config["type"])} {config.get("key", "")}{channels.strip()}'.strip()


def _title(head: str) -> str:
    """Name of a head in tables: the ``title`` of its class."""
    from mmaction.registry import MODELS

    import mmtad_decomp  # noqa: F401  # before MMAction2's models, which it makes importable

    kind = MODELS.get(head)
    if not hasattr(kind, 'title'):
        raise KeyError(head)
    return kind.title


def read_entry(root: Path, path: Path) -> Entry:
    """Read a config.

    Args:
        root: The project.
        path: The config, under ``root / 'configs'``.

    Raises:
        ValueError: If it has a head, backbone, input or data set that this script has no name for.
    """
    from mmengine.config import Config

    from mmtad_decomp.utils import class_name

    def kind(part: dict) -> Any:
        return class_name(part['type'])

    config = Config.fromfile(path, import_custom_modules=False)
    model = config.model
    student = model.get('student', model)
    detector = student.get('detector', student)
    network = detector.backbone.backbone if 'backbone' in detector else dict(type=None)
    own = _modality(detector.data_preprocessor.modality)
    taught = _modality(model.distill.teacher.modality) if 'distill' in model else own
    try:
        short, architecture = BACKBONES[kind(network)]
        depth = '' if kind(network) in _ONE_DEPTH else network.get('depth', 50)
        return Entry(
            name=path.relative_to(root / 'configs').with_suffix('').as_posix(),
            kind=path.relative_to(root / 'configs').parts[0],
            data=DATA_SETS[config.data_root],
            head=_title(kind(detector.head)),
            backbone=f'{short}{depth}',
            architecture=f'{architecture}{depth}',
            teacher=MODALITIES[taught][0],
            modality=MODALITIES[own][1],
            fusion=FUSIONS[kind(student.fusion)] if 'fusion' in student else '',
            batch_size=config.train_dataloader.batch_size,
            epochs=config.train_cfg.max_epochs,
        )
    except KeyError as error:
        raise ValueError(
            f'{path}: {error} has no name in tools/analysis_tools/list_configs.py; add it'
        ) from error


def read_entries(root: Path) -> list[Entry]:
    """All configs of the project's own detectors."""
    paths = [path for kind in KINDS for path in sorted((root / 'configs' / kind).rglob('*.py'))]
    return [read_entry(root, path) for path in paths]


def read_scores(file: Path) -> dict[str, list[float]]:
    """mAP of each row, one value a seed: of a study's JSON, or of a table of single runs."""
    content = json.loads(file.read_text(encoding='utf-8'))
    if 'scores' not in content:
        return {row: [entry['metrics']['mAP']] for row, entry in content.items()}
    scores: dict[str, list[float]] = {}
    for key, entry in content['scores'].items():
        scores.setdefault(key.partition('/')[0], []).append(entry['validation']['mAP'])
    return scores


def read_numbers(root: Path, names: set[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Reported numbers, and cells for measured ones, by config.

    Raises:
        ValueError: If ``configs/results.yml`` names a config or a row that does not exist.
    """
    from tools.studies.report import mean_and_sd

    file = root / 'configs' / 'results.yml'
    content = yaml.safe_load(file.read_text(encoding='utf-8'))
    here = {}
    for page, rows in content['runs'].items():
        table = read_scores(root / f'docs/en/benchmarks/{page}.json')
        for name, row in rows.items():
            if row not in table:
                raise ValueError(f'{file}: {page}.json has no row {row!r}, only {sorted(table)}')
            text = mean_and_sd(table[row], 100)
            here[name] = f'[**{text}**](../docs/en/benchmarks/{page}.md)'
    unknown = sorted({*content['reported'], *here} - names)
    if unknown:
        raise ValueError(f'{file}: no such configs: {unknown}')
    return content['reported'], here


def table(rows: list[list[str]]) -> str:
    """Markdown of a header and rows."""
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([lines[0], '|' + ' --- |' * len(rows[0]), *lines[1:]])


def mixin_section(root: Path) -> str:
    """The configs laid over MMAction2's own."""
    roles = ('baseline', 'teacher', 'conventional', 'decomp')
    rows = [['detector', *roles]]
    names = (
        p.stem.removesuffix('_baseline') for p in (root / 'configs/mixin').glob('*_baseline.py')
    )
    for name in sorted(names):
        rows.append([name, *(f'[config](mixin/{name}_{role}.py)' for role in roles)])
    return f"## Laid over MMAction2's configs\n\n{MIXIN}\n\n{table(rows)}\n"


def _cell(entry: Entry, reported: dict[str, float], here: dict[str, str]) -> str:
    """A config's number, or its name in words, as links."""
    number, config = reported.get(entry.name), f'{entry.name}.py'
    label = 'config' if number is None else str(number)
    taught = entry.teacher and entry.kind in ('conventional', 'decomp')
    motion = f'{entry.teacher}: ' if taught else ''
    measured = f' {here[entry.name]}' if entry.name in here else ''
    return f'{motion}[{label}]({config}){measured}'


def _system_rows(entries: list[Entry], cell: Callable[[Entry], str]) -> list[list[str]]:
    """A table with one row per system and one column per role, with a header."""
    motions = dict.fromkeys(e.teacher for e in entries if e.kind == 'teacher')
    columns = ['RGB', *sorted(motions, reverse=True), 'conventional', 'decomposed']
    systems: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.system):
        systems.setdefault(entry.system, []).append(entry)
    rows = [['head', 'backbone', *columns]]
    for name, members in systems.items():
        variant = ' (one class per action)' if name.endswith('_classes') else ''
        cells = [
            '<br>'.join(cell(entry) for entry in members if entry.column == column) or '–'
            for column in columns
        ]
        rows.append([members[0].head + variant, members[0].backbone, *cells])
    return rows


def ablation_section(entries: list[Entry], cell: Callable[[Entry], str]) -> str:
    """One row per head and fusion, with or without a teacher, and one column per data set."""
    found: dict[str, dict[str, str]] = {}
    for entry in filter(lambda e: e.is_ablation, entries):
        row = entry.fusion if entry.teacher else f'{entry.fusion}, without a teacher'
        if entry.head != 'ActionFormer':
            row = f'{entry.head}: {row}'
        found.setdefault(row, {})[entry.data] = cell(entry)
    columns = [data for data in DATA_SETS.values() if any(data in row for row in found.values())]
    rows = [[name, *(row.get(data, '–') for data in columns)] for name, row in found.items()]
    return (
        '## Ablations\n\nDecomposed systems on TSM18 or on features: ActionFormer where no other '
        'head is named.\n\n'
        f'{table([["fusion", *columns], *rows])}\n'
    )


def readme(root: Path, entries: list[Entry]) -> str:
    """``configs/README.md``."""
    numbers = read_numbers(root, {entry.name for entry in entries})
    sections = [INTRODUCTION]
    for data in DATA_SETS.values():
        members = [entry for entry in entries if entry.data == data and not entry.is_ablation]
        if members:
            rows = _system_rows(members, lambda entry: _cell(entry, *numbers))
            sections.append(f'## {data}\n\n{table(rows)}\n')
    sections.append(ablation_section(entries, lambda entry: _cell(entry, *numbers)))
    return '\n'.join([*sections, mixin_section(root)])


def metafile(root: Path, kind: str, entries: list[Entry]) -> str:
    """A folder's ``metafile.yml``: its collections as they are, and its models."""
    content = yaml.safe_load((root / 'configs' / kind / 'metafile.yml').read_text())
    models = [
        {
            'Name': '_'.join([*reversed(entry.name.split('/')[:-1]), entry.name.split('/')[-1]]),
            'Config': f'configs/{entry.name}.py',
            'In Collection': COLLECTIONS.get(kind, entry.head),
            'Metadata': {
                'Architecture': entry.architecture,
                'Batch Size': entry.batch_size,
                'Epochs': entry.epochs,
                'Training Data': entry.data,
            },
            'Modality': entry.modality,
        }
        for entry in entries
        if entry.kind == kind
    ]
    content = {'Collections': content['Collections'], 'Models': models}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=99)


def generate(root: Path = ROOT) -> dict[Path, str]:
    """Contents of all files that are made from the configs."""
    entries = read_entries(root)
    files = {root / 'configs' / kind / 'metafile.yml': kind for kind in KINDS}
    contents = {path: metafile(root, kind, entries) for path, kind in files.items()}
    return {root / 'configs' / 'README.md': readme(root, entries), **contents}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='write nothing; exit 1 if outdated')
    args = parser.parse_args(argv)

    from mmtad_decomp.utils import atomic_write

    try:
        contents = generate()
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    stale = [p for p, text in contents.items() if not p.exists() or p.read_text() != text]
    for path in stale:
        print(f'{path.relative_to(ROOT)} {"is out of date" if args.check else "written"}')
        if not args.check:
            with atomic_write(path, 'w', encoding='utf-8') as file:
                file.write(contents[path])
    return int(args.check and bool(stale))


if __name__ == '__main__':
    sys.exit(run_main(main))
