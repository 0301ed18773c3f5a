"""The tools that are tried, on a few of the embedded recordings, and what each must produce."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / 'data/grid_mini'
SYSTEM = 'actionformer_tsm18narrow_grid_mini'

_CONFIG = """
_base_ = {base!r}
narrow = dict(
    data_preprocessor=dict(pad_to=15),
    backbone=dict(backbone=dict(base_channels=8)),
    neck=dict(in_channels=64, out_channels=32),
    head=dict(in_channels=32, num_levels=3, encoder=dict(embed_dims=32)),
)
model = {model}
{data}
optim_wrapper = dict(type='OptimWrapper')
train_cfg = dict(max_epochs={epochs}, val_interval=1)
val_cfg = dict(_delete_=True, type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(save_best='tad/mAP', max_keep_ckpts=1))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8)]
"""
_LOADER = """
{0}_dataloader = dict(
    batch_size=2, num_workers=1, persistent_workers=True,
    dataset=dict(data_root={root!r}, sample_fps=5, window=15))
"""
_EVALUATOR = '{0}_evaluator = dict(ann_file={file!r})\n'
_FLOW = """
_base_ = {base!r}
pipeline = [
    dict(type='LoadOpticalFlow', folder={folder!r}, frames=dict(type='LoadVideoFrames')),
    dict(type='PackTADInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
"""
_STUDY = """
work_dir = 'work'
results = 'results.json'
seeds = (0,)
metric = 'mAP_0.3:0.7'
test_on_training = False
resamples = 200
rows = [
    dict(name='teacher', config={teacher!r}),
    dict(name='student', config={student!r}, teacher='teacher'),
]
compare = [('student', 'teacher')]
"""


@dataclass(frozen=True)
class Case:
    """A tool with its arguments.

    Attributes:
        name: For tables.
        module: Module of the tool; its ``main`` takes the arguments.
        arguments: From the folder that it works in to its arguments.
        outcome: From that folder to digests of what must not depend on interruptions.
        resumes_within: Its files change while it works, as checkpoints do.
    """

    name: str
    module: str
    arguments: Callable[[Path], list[str]]
    outcome: Callable[[Path], dict[str, str]]
    resumes_within: bool = False


def digest(value: object) -> str:
    """Hash of a nesting of tensors, arrays and plain values, bit for bit."""
    state = hashlib.sha256()

    def add(item: object) -> None:
        if isinstance(item, Mapping):
            for key in item:
                state.update(repr(key).encode())
                add(item[key])
        elif isinstance(item, (list, tuple)):
            state.update(str(len(item)).encode())
            for part in item:
                add(part)
        elif isinstance(item, (torch.Tensor, np.ndarray)):
            array = np.ascontiguousarray(item)
            state.update(f'{array.dtype} {array.shape}'.encode())
            state.update(array.tobytes())
        else:
            state.update(repr(item).encode())

    add(value)
    return state.hexdigest()[:16]


def files_below(folder: Path, pattern: str = '**/*') -> dict[str, str]:
    """Digests of the files of a folder that are there to be read: not logs, not hidden ones."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        for file in sorted(folder.glob(pattern))
        if file.is_file() and not file.name.startswith('.') and '.partial' not in str(file)
    }


def training_outcome(folder: Path) -> dict[str, str]:
    """Weights, optimizer, schedules, losses and best result of every checkpoint of a training."""
    found = {}
    for file in sorted(folder.glob('*.pth')):
        content = torch.load(file, weights_only=True)
        found[f'{file.name} weights'] = digest(content['state_dict'])
        for key in ('optimizer', 'param_schedulers'):
            if key in content:
                found[f'{file.name} {key}'] = digest(content[key])
        hub = content['message_hub']
        losses = hub['log_scalars']['train/loss']['log_history']
        found[f'{file.name} losses'] = digest(losses)
        best = {k: v for k, v in hub['runtime_info'].items() if k.startswith('best_score')}
        found[f'{file.name} best'] = digest(best)
    return found


def study_outcome(folder: Path) -> dict[str, str]:
    """Weights of every run of a study, and its metrics and comparisons, not its times."""
    found: dict[str, str] = {}
    for work_dir in sorted(folder.glob('work/*/*/train')):
        row = work_dir.parents[1].name
        found |= {f'{row} {k}': v for k, v in training_outcome(work_dir).items()}
    if (folder / 'results.json').is_file():
        content = json.loads((folder / 'results.json').read_text(encoding='utf-8'))
        for key, entry in content['runs'].items():
            found[f'{key} metrics'] = digest(entry['validation'])
        for name in ('scores', 'comparisons'):
            found[name] = digest(content[name])
    return found


def write_inputs(folder: Path, epochs: int = 4) -> None:
    """Annotations of six recordings, configs of a teacher, a baseline and a student, and a study.

    Args:
        folder: Made where it is missing; nothing else must write into it.
        epochs: Of the trainings.
    """
    (folder / 'data').mkdir(parents=True, exist_ok=True)
    content = json.loads((SOURCE / 'annotations.json').read_text(encoding='utf-8'))
    chosen: dict[str, dict] = {}
    for subset, count in (('training', 4), ('validation', 2)):
        of_subset = [item for item in content['database'].items() if item[1]['subset'] == subset]
        chosen |= dict(of_subset[:count])
    content['database'] = chosen
    for name in ('annotations.json', 'words.json'):
        (folder / 'data' / name).write_text(json.dumps(content), encoding='utf-8')
    videos = folder / 'data' / 'videos'
    videos.mkdir(exist_ok=True)
    for video in chosen.values():
        link = folder / 'data' / video['path']
        if not link.exists():
            link.symlink_to(SOURCE / video['path'])
    root = f'{folder / "data"}/'
    data = ''.join(_LOADER.format(loader, root=root) for loader in ('train', 'val', 'test'))
    data += ''.join(
        _EVALUATOR.format(name, file=f'{root}annotations.json') for name in ('val', 'test')
    )
    for name, base, model in (
        ('teacher', f'teacher/{SYSTEM}_tg', 'narrow'),
        ('baseline', f'baseline/{SYSTEM}', 'narrow'),
        ('student', f'decomp/{SYSTEM}', 'dict(student=dict(detector=narrow))'),
    ):
        base = str(ROOT / f'configs/{base}.py')
        text = _CONFIG.format(base=base, model=model, data=data, epochs=epochs)
        (folder / f'{name}.py').write_text(text, encoding='utf-8')
    flow = _FLOW.format(base=str(folder / 'baseline.py'), folder='flow')
    (folder / 'flow.py').write_text(flow, encoding='utf-8')
    study = _STUDY.format(teacher=str(folder / 'teacher.py'), student=str(folder / 'student.py'))
    (folder / 'study_file.py').write_text(study, encoding='utf-8')


def make_cases(inputs: Path) -> list[Case]:
    """The tools that are tried; each works in a folder of its own.

    Args:
        inputs: Folder of :func:`write_inputs`; ``trained`` in it is a work directory of the
            baseline, which inference reads.
    """
    videos = sorted(str(path) for path in (inputs / 'data/videos').iterdir())

    def visible(*patterns: str) -> Callable[[Path], dict[str, str]]:
        return lambda folder: {
            key: value
            for pattern in patterns
            for key, value in files_below(folder, pattern).items()
        }

    prepare = ['--annotations', str(inputs / 'data/words.json'), '--videos', videos_of(inputs)]
    prepare += ['--prefix', '', '--short-side', '16', '--out', 'out', '--workers', '1']
    infer = ['--model', str(inputs / 'baseline.py'), '--weights', str(inputs / 'trained')]
    infer += ['--device', 'cpu', '--score-thr', '0', '--out-dir', 'out', '--format']
    infer += ['json', 'csv', 'vtt', 'elan', '--picture', '--quiet']
    return [
        Case(
            'train',
            'tools.train',
            lambda folder: [
                str(inputs / 'baseline.py'),
                '--work-dir', str(folder / 'work'), '--resume',
                '--cfg-options', f'experiment_name={folder.name}',
            ],
            lambda folder: training_outcome(folder / 'work'),
            resumes_within=True,
        ),
        Case(
            'prepare frames',
            'tools.data.activitynet.prepare',
            lambda _: prepare,
            visible('out/frames/**/*', 'out/*.json'),
        ),
        Case(
            'prepare videos',
            'tools.data.activitynet.prepare',
            lambda _: [*prepare, '--mode', 'videos'],
            visible('out/videos/**/*', 'out/*.json'),
        ),
        Case(
            'extract_flow',
            'tools.data.extract_flow',
            lambda _: [str(inputs / 'flow.py'), '--method', 'dis', '--workers', '1'],
            visible('flow/**/*'),
        ),
        Case(
            'infer',
            'tools.infer',
            lambda _: [*videos[:2], *infer],
            infer_outcome,
        ),
        Case(
            'study',
            'tools.analysis_tools.study',
            lambda _: [str(inputs / 'study_file.py'), '--jobs', '2', '--interval', '600'],
            study_outcome,
            resumes_within=True,
        ),
    ]  # fmt: skip


def videos_of(inputs: Path) -> str:
    """The folder of the recordings."""
    return str(inputs / 'data/videos')


def infer_outcome(folder: Path) -> dict[str, str]:
    """Detections in all formats, without the date that ELAN's files hold, and the pictures."""
    found = {}
    for file in sorted((folder / 'out').glob('[!.]*')):
        content = file.read_bytes()
        if file.suffix == '.eaf':
            content = content.split(b'DATE="', 1)[0] + content.split(b'DATE="', 1)[1][25:]
        found[file.name] = hashlib.sha256(content).hexdigest()[:16]
    return found


def same(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Names of what is missing, left over or different."""
    names = sorted({*found, *wanted})
    return [name for name in names if found.get(name) != wanted.get(name)]


def not_whole(case: Case, folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """What is not whole of the files of a tool that was interrupted, in words.

    All of them can be read, and those whose content does not depend on how far the tool is, such
    as a video's frames, are the final ones already.
    """
    try:
        found = case.outcome(folder)
    except Exception as error:
        return [f'{type(error).__name__}: {error}']
    if case.resumes_within:
        return []
    return [f'{name} is not whole' for name, value in found.items() if wanted.get(name) != value]


def demand_names(names: Sequence[str] | None, cases: Sequence[Case]) -> None:
    """Check names of tools on a command line.

    Raises:
        ValueError: If there is no tool of a name.
    """
    known = [case.name for case in cases]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f'--only: no tool is named {unknown[0]!r}; there are {known}')
