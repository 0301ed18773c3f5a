"""Compare trainings of one process and of several on the same batches, head by head.

Every head trains five steps as a detector, and as a decomposed student with a teacher, once in one
process and once in several (torchrun, gloo) that share each batch. Losses and weights must agree.
What is drawn at random is switched off, and the backbone has no BatchNorm, whose statistics are
those of a process's own windows.

Other comparisons:

- ``resume``: an epoch in one process and the next one in two, and the reverse, against two epochs
  in one process.
- ``sharded``, ``sharded-resume``: several processes that share the parameters by
  ``FullyShardedModel`` (FSDP2) against one, and ``resume`` with them.
- ``accumulation``: batches half as large whose gradients are accumulated, against whole batches.
  Each half is divided by its own counts, so these differ where the halves' counts do.

``--float64`` computes in double precision: what differs there as well is no matter of rounding.

Example:
    python tools/reliability/distributed.py --processes 2 4
    python tools/reliability/distributed.py --compare resume
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    import torch
    from mmengine.hooks import Hook

ROOT = Path(__file__).resolve().parents[2]
WIDTH, NUM_CLASSES, WINDOWS, STEPS, BATCH = 32, 3, 20, 16, 4
TOLERANCE = 1e-5
SHARING = dict(type='FullyShardedModel', units=['PlainFrameNet'])
_NARROW: dict[str, dict[str, object]] = dict(
    ActionFormerHead=dict(num_levels=3, encoder=dict(embed_dims=WIDTH, window_size=5)),
    AFSDHead=dict(channels=WIDTH, num_levels=3, num_groups=4, loss_contrast=None),
    GTADHead=dict(channels=WIDTH, map_branch=dict(align_channels=WIDTH, map_channels=16)),
    TadTRHead=dict(embed_dims=WIDTH, hidden_dims=64, num_queries=6),
    TAGSHead=dict(channels=WIDTH, num_snippets=STEPS, mask_branch=dict(channels=(WIDTH, WIDTH))),
    TriDetHead=dict(num_levels=3, encoder=dict(embed_dims=WIDTH, mlp_dims=64)),
)


def head_configs() -> dict[str, dict]:
    """The small config of every head, narrowed."""
    from mmengine.config import Config

    configs = {}
    for path in sorted((ROOT / 'configs/_base_/models').glob('*_tsm18_small.py')):
        kind = Config.fromfile(path).model.head.type
        if kind in _NARROW:
            head = Config(Config.fromfile(path).model.head.to_dict())
            head.merge_from_dict({**_NARROW[kind], 'in_channels': WIDTH})
            configs[kind] = {**head.to_dict(), 'num_classes': NUM_CLASSES}
    return configs


def detector(head: dict, modality: str = 'RGBInput') -> dict:
    """Config of a detector on a convolution."""
    return dict(
        type='TADDetector',
        data_preprocessor=dict(
            type='TADDataPreprocessor', modality=dict(type=modality), pad_to=STEPS
        ),
        backbone=dict(type='VideoEncoder', backbone=dict(type='PlainFrameNet')),
        neck=dict(type='TemporalProjection', in_channels=8, out_channels=WIDTH),
        head=head,
    )


def student(head: dict, teacher: Path) -> dict:
    """Config of a decomposed student whose teacher sees the temporal gradient."""
    mimics = dict(
        feature=dict(
            loss=dict(type='FeatureMimicLoss'),
            student=dict(source='neck', item='motion'),
            teacher=dict(source='neck'),
        ),
        prediction=dict(
            loss=dict(type='PredictionMimicLoss'),
            student=dict(source='motion_outputs'),
            teacher=dict(source='head'),
        ),
    )
    return dict(
        type='CrossModalDistiller',
        student=dict(
            type='DecomposedDetector',
            detector=detector(head),
            fusion=dict(type='LocalAttentiveFusion'),
        ),
        distill=dict(teacher=dict(modality=dict(type='TemporalGradientInput')), mimics=mimics),
        teacher_checkpoint=str(teacher),
    )


def build(config: dict, seed: int) -> torch.nn.Module:
    """Build a model of a seed in which nothing is drawn at random later."""
    import torch
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    import mmtad_decomp  # noqa: F401  patches MMAction2, whose models `build` imports
    from tools.reliability import distributed_parts  # noqa: F401  registers the backbone

    init_default_scope('mmaction')
    torch.manual_seed(seed)
    model = MODELS.build(copy.deepcopy(config))
    for module in model.modules():
        if hasattr(module, 'draw'):  # of pairs, in G-TAD's loss
            module.draw = False
        for name in ('p', 'drop_prob', 'dropout', 'attn_drop', 'drop_path'):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def windows(longest: int = STEPS) -> list[dict]:
    """Windows of different lengths, up to the longest, with one to three actions, or none."""
    import torch
    from mmengine.structures import InstanceData

    from mmtad_decomp.structures import TADDataSample, TimeGrid

    generator = torch.Generator().manual_seed(0)
    found = []
    for index in range(WINDOWS):
        steps = longest - index % 4
        frames = torch.randint(0, 256, (steps, 3, 8, 8), generator=generator, dtype=torch.uint8)
        sample = TADDataSample(
            metainfo=dict(
                video_id=f'v{index}',
                window=(0, steps),
                num_steps=steps,
                time_grid=TimeGrid(fps=10),
                duration=steps / 10,
            )
        )
        starts = 0.1 + 0.3 * torch.arange(index % 4)
        lengths = 0.3 + 0.4 * torch.rand(index % 4, generator=generator)
        segments = torch.stack([starts, (starts + lengths).clamp(max=steps / 10)], dim=1)
        labels = torch.arange(index % 4) % NUM_CLASSES
        sample.gt_instances = InstanceData(segments=segments, labels=labels)
        found.append(dict(inputs=dict(frames=frames), data_samples=sample))
    return found


def train(
    name: str,
    config: dict,
    folder: Path,
    launcher: str,
    batch: int = BATCH,
    epochs: int = 1,
    resume: str | None = None,
    double: bool = False,
    wrapper: dict | None = None,
    hooks: Sequence[Hook] = (),
    **options: object,
) -> dict:
    """Train five steps in an epoch.

    Args:
        name: Of the system, for files.
        config: Of the model.
        folder: Work directories go here.
        launcher: ``'none'`` or ``'pytorch'``.
        batch: Windows of a step, of all processes.
        epochs: When to stop.
        resume: Folder of a training of fewer epochs that goes on.
        double: Compute in float64.
        wrapper: Of the model in several processes; default: ``MMDistributedDataParallel``.
        hooks: Further ones.
        options: Further arguments of the Runner.

    Returns:
        ``losses`` of the steps and the ``state_dict``.
    """
    import torch

    from mmtad_decomp.engine.concise_runner import ConciseRunner
    from mmtad_decomp.utils import resolve_checkpoint, unwrap_model
    from tools.reliability.distributed_parts import LossRecorder

    losses = LossRecorder()
    world = int(os.environ.get('WORLD_SIZE', 1)) if launcher == 'pytorch' else 1
    settings = dict(
        model=build(config, seed=0).to(torch.float64 if double else torch.float32),
        work_dir=str(folder / name),
        train_dataloader=dict(
            dataset=windows(),
            batch_size=batch // world,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook'), logger=None),
        custom_hooks=[losses, *hooks],
        randomness=dict(seed=0),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        launcher=launcher,
        default_scope='mmaction',
        experiment_name=f'{folder.name}-{name}-{world}',
        log_level='ERROR',
    )
    if launcher != 'none':
        plain = dict(type='MMDistributedDataParallel', device_ids=None)
        settings['cfg'] = dict(model_wrapper_cfg=wrapper or plain)
    if resume is not None:
        settings |= dict(resume=True, load_from=str(resolve_checkpoint(Path(resume, name))))
    runner = ConciseRunner(**{**settings, **options})
    runner.train()
    state = unwrap_model(runner.model).state_dict()
    return dict(losses=losses.values, state_dict={k: v.cpu() for k, v in state.items()})


def systems(folder: Path) -> Iterator[tuple[str, dict]]:
    """Names and model configs of all systems; writes the teachers' checkpoints."""
    import torch
    from mmengine.dist import get_rank, get_world_size

    for kind, head in head_configs().items():
        name = kind.removesuffix('Head')
        yield name, detector(head)
        teacher = folder / f'{name}-teacher-{get_world_size()}-{get_rank()}.pth'
        weights = build(detector(head, 'TemporalGradientInput'), seed=7).state_dict()
        torch.save(dict(state_dict=weights), teacher)
        yield f'{name} student', student(head, teacher)


def work(args: argparse.Namespace) -> None:
    """What each process does: train all systems; the first process writes what came out."""
    import torch
    from mmengine.dist import get_rank

    torch.set_num_threads(1)
    launcher = 'pytorch' if 'RANK' in os.environ else 'none'
    writes = note_writes(args.worker)
    results = {}
    for name, config in systems(args.folder):
        if not args.only or name in args.only:
            folder = name.replace(' ', '-')
            results[name] = train(folder, config, args.worker, launcher, **args.settings)
    if get_rank() == 0:
        torch.save(results, args.worker.with_suffix('.pt'))
    elif any('.pth' in path or 'last_checkpoint' in path for path in writes):
        raise RuntimeError(f'process {get_rank()} wrote {writes[:3]}')


def note_writes(folder: Path) -> list[str]:
    """A list that grows by each file below a folder that this process opens to write."""
    writes: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        if event == 'open' and isinstance(arguments[1], str) and set(arguments[1]) & set('wax+'):
            path = os.fspath(arguments[0]) if not isinstance(arguments[0], int) else ''
            if str(path).startswith(str(folder)):
                writes.append(str(path))

    sys.addaudithook(hook)
    return writes


def launch(
    args: argparse.Namespace, folder: Path, processes: int, name: str = 'run', **settings: object
) -> dict:
    """Train all systems.

    Args:
        args: The command line.
        folder: Work directories and results go here.
        processes: How many share a batch.
        name: Of this training, for files.
        settings: Arguments of :func:`train`.

    Raises:
        RuntimeError: If a process fails.
    """
    import torch

    target = folder / f'{name}{processes}'
    script = [str(Path(__file__).resolve()), '--worker', str(target), '--folder', str(folder)]
    script += ['--only', *args.only] if args.only else []
    script += ['--settings', json.dumps(dict(settings, double=args.float64))]
    start = [sys.executable, '-W', 'ignore']
    if processes > 1:
        start += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    done = subprocess.run([*start, *script], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{processes} processes fail:\n{done.stdout}\n{done.stderr[-3000:]}')
    return torch.load(target.with_suffix('.pt'), weights_only=True)


def difference(found: dict, wanted: dict) -> tuple[float, float]:
    """Largest differences of losses and of weights, as a share of the larger of value and 1."""
    losses = max(
        abs(a - b) / max(1, abs(b)) for a, b in zip(found['losses'], wanted['losses'], strict=True)
    )
    weights = 0.0
    for name, value in wanted['state_dict'].items():
        gap = (found['state_dict'][name].double() - value.double()).abs()
        weights = max(weights, float((gap / value.double().abs().clamp(min=1)).max()))
    return losses, weights


_Trainings = Iterator[tuple[str, dict, dict]]  # name, results, those that they should equal


def compare_processes(args: argparse.Namespace, folder: Path, **settings: object) -> _Trainings:
    """Several processes against one."""
    alone = launch(args, folder, 1)
    for processes in args.processes:
        yield f'1 and {processes}', launch(args, folder, processes, 'run', **settings), alone


def compare_resumed(args: argparse.Namespace, folder: Path, **settings: object) -> _Trainings:
    """Trainings that go on with another number of processes against one that ran through."""
    alone = launch(args, folder, 1, 'through', epochs=2)
    steps = WINDOWS // BATCH
    for before in (1, 2):
        launch(args, folder, before, 'begun', **settings)
        source = str(folder / f'begun{before}')
        resumed = dict(settings, epochs=2, resume=source)
        found = launch(args, folder, 3 - before, 'resumed', **resumed)
        wanted = {name: {**r, 'losses': r['losses'][steps:]} for name, r in alone.items()}
        yield f'{before}, then {3 - before}', found, wanted


def compare_sharded(args: argparse.Namespace, folder: Path) -> _Trainings:
    """Several processes that share the parameters against one."""
    yield from compare_processes(args, folder, wrapper=SHARING)


def compare_sharded_resumed(args: argparse.Namespace, folder: Path) -> _Trainings:
    """``resume`` with processes that share the parameters."""
    yield from compare_resumed(args, folder, wrapper=SHARING)


def compare_accumulated(args: argparse.Namespace, folder: Path) -> _Trainings:
    """Two halves of a batch with accumulated gradients against the batch."""
    whole = launch(args, folder, 1)
    optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
    wrapper = dict(optimizer=optimizer, accumulative_counts=2)
    halves = launch(args, folder, 1, 'halves', batch=BATCH // 2, optim_wrapper=wrapper)
    for result in halves.values():
        losses = result['losses']  # MMEngine returns them before it divides by the count
        result['losses'] = [(a + b) / 2 for a, b in zip(losses[::2], losses[1::2], strict=True)]
    yield 'halves', halves, whole


COMPARISONS: Mapping[str, Callable[[argparse.Namespace, Path], _Trainings]] = {
    'processes': compare_processes,
    'resume': compare_resumed,
    'sharded': compare_sharded,
    'sharded-resume': compare_sharded_resumed,
    'accumulation': compare_accumulated,
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--compare', choices=COMPARISONS, default='processes')
    parser.add_argument('--float64', action='store_true', help='compute in double precision')
    parser.add_argument('--processes', type=int, nargs='+', default=[2, 4], choices=[2, 4])
    parser.add_argument('--only', nargs='+', metavar='SYSTEM', help='default: all')
    parser.add_argument('--folder', type=Path, help='where to work; default: a temporary one')
    parser.add_argument('--json', type=Path, help='write the differences to this file')
    parser.add_argument('--worker', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--settings', type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit code: 1 if a system differs."""
    from mmtad_decomp.utils import format_table, write_json

    if args.worker is not None:
        work(args)
        return 0
    folder = (args.folder or Path(tempfile.mkdtemp(prefix='distributed_'))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    rows, records = [], []
    for trainings, found, wanted in COMPARISONS[args.compare](args, folder):
        for name, result in found.items():
            losses, weights = difference(result, wanted[name])
            rows.append([name, trainings, f'{losses:.1e}', f'{weights:.1e}'])
            records.append(dict(system=name, trainings=trainings, losses=losses, weights=weights))
    print(format_table(['system', args.compare, 'losses', 'weights'], rows))
    if args.json is not None:
        write_json(args.json, records, indent=1)
    return int(any(max(r['losses'], r['weights']) > TOLERANCE for r in records))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
