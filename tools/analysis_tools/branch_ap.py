"""AP per class of the appearance branch, the motion branch and the joint head of one model.

The shared head reads each branch of a trained DecomposedDetector, the joint head their fusion; all
three in one pass over the test (or validation) set of the config. Needs the checkpoint of the
training: a published model has no shared head.

``--with-teacher`` also tests the teacher, and the joint head with the teacher's features in place
of the motion branch's: what a perfect motion branch would gain. Its flow, if it wants any, is read
as in training.

Writes ``branch_ap.json``, ``branch_ap.txt`` and, if any class has ground truth, ``branch_ap.png``
to ``--out-dir``.

Example::

    python tools/analysis_tools/branch_ap.py configs/decomp/actionformer_tsm18_fir.py \
        work_dirs/decomp/actionformer_tsm18_fir --out-dir work_dirs/branches
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import add_common_arguments, demand_config_file, run_main

if TYPE_CHECKING:
    from mmengine.config import Config

BRANCHES = ('appearance', 'motion', 'joint')
WITH_TEACHER = (*BRANCHES, 'teacher', 'joint_by_teacher')
TEACHER_LOADERS = ('LoadOpticalFlow', 'LoadFeatures')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the training')
    parser.add_argument('checkpoint', help='its checkpoint file or work directory')
    parser.add_argument('--out-dir', required=True, help='where the results go')
    parser.add_argument('--split', choices=['test', 'val'], default='test', help='data to run on')
    parser.add_argument(
        '--dump-json',
        action='store_true',
        help='also write the detections of each branch, as <branch>.json in --out-dir',
    )
    parser.add_argument(
        '--with-teacher',
        action='store_true',
        help="also test the teacher, and the joint head with the teacher's features in place of "
        "the motion branch's",
    )
    add_common_arguments(parser)
    return parser.parse_args(argv)


def _decomposed(model: dict) -> dict | None:
    """The config of the DecomposedDetector in a model's config, if there is one."""
    from mmtad_decomp.utils import class_name

    student = model.get('student', model)
    return student if class_name(student.get('type')) == 'DecomposedDetector' else None


def use_branches(cfg: Config, args: argparse.Namespace) -> None:
    """Let the config test all branches at once.

    Raises:
        ConfigError: If the model has no branches or no shared head, or the evaluator is another.
    """
    from mmtad_decomp.utils import ConfigError, of_class

    name = cfg.filename or 'config'
    if args.split == 'val':
        for part in ('dataloader', 'evaluator'):
            cfg[f'test_{part}'] = copy.deepcopy(cfg.get(f'val_{part}'))
        cfg.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')
    student = _decomposed(cfg.model)
    if student is None:
        raise ConfigError(
            f'{name}: `model` is {cfg.model.get("type")} without a DecomposedDetector, so it has '
            'no appearance and motion branch; give the config of a decomposed training'
        )
    if not student.get('shared_head', True):
        raise ConfigError(
            f'{name}: `shared_head=False`: this is a published model, and nothing else reads its '
            'branches; give the config and the checkpoint of its training'
        )
    if args.with_teacher:
        use_teacher(cfg)
    student['type'] = 'mmaction.BranchDetector'
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
    metrics = of_class(evaluators, 'TADMetric')
    if len(metrics) != 1:
        raise ConfigError(
            f'{name}: `{args.split}_evaluator` must hold one TADMetric, got '
            f'{[evaluator["type"] for evaluator in evaluators]}'
        )
    cfg.test_evaluator = [
        {
            **metrics[0],
            'type': 'mmaction.BranchMetric',
            'branch': branch,
            'classwise': True,
            'raw_path': None,
            'dump_path': str(Path(args.out_dir, f'{branch}.json')) if args.dump_json else None,
        }
        for branch in (WITH_TEACHER if args.with_teacher else BRANCHES)
    ]


def use_teacher(cfg: Config) -> None:
    """Let the config test the teacher, too, and read the flow or features that it wants.

    Raises:
        ConfigError: If the model has no teacher, or several.
    """
    from mmtad_decomp.utils import ConfigError, class_name

    if class_name(cfg.model.get('type')) != 'CrossModalDistiller':
        raise ConfigError(
            f'{cfg.filename or "config"}: --with-teacher: `model` is {cfg.model.get("type")}, '
            'which has no teacher; give the config of a distilled training, or leave the flag out'
        )
    if not isinstance(cfg.model.get('teacher_checkpoint') or '', str):
        raise ConfigError(
            f'{cfg.filename or "config"}: --with-teacher: `model.teacher_checkpoint` lists '
            f'{len(cfg.model.teacher_checkpoint)} teachers for other training videos each; name '
            'one: --cfg-options model.teacher_checkpoint=PATH'
        )
    cfg.model['type'] = 'mmaction.BranchDistiller'
    pipeline = cfg.test_dataloader.dataset.pipeline
    loaded = {(class_name(transform['type']), transform.get('key')) for transform in pipeline}
    for place, transform in enumerate(cfg.train_dataloader.dataset.pipeline):
        kind = class_name(transform['type'])
        if kind in TEACHER_LOADERS and (kind, transform.get('key')) not in loaded:
            pipeline.insert(place, copy.deepcopy(transform))


def demand_shared_head(checkpoint: str) -> None:
    """Check that a checkpoint holds the weights of a shared head.

    Raises:
        CheckpointError: If it does not.
    """
    from mmtad_decomp.utils import CheckpointError, load_checkpoint

    content = load_checkpoint(checkpoint)
    names = content.get('state_dict', content)
    if not any('shared_head.' in name for name in names):
        raise CheckpointError(
            f'checkpoint {checkpoint} has no weights of a shared head: it is a published student, '
            'or not of a DecomposedDetector; give the checkpoint of the training'
        )


def by_branch(metrics: dict[str, float]) -> dict[str, dict]:
    """Sort the evaluator's metrics.

    Args:
        metrics: ``<branch>/<name>``.

    Returns:
        For every branch, and the teacher if it was tested, ``mAP`` (all metrics but the classes')
        and ``AP`` (by class, of those that have ground truth); None where there is no number.
    """
    result: dict[str, dict] = {}
    for key, value in metrics.items():
        branch, _, name = key.partition('/')
        if branch in WITH_TEACHER:
            result.setdefault(branch, dict(mAP={}, AP={}))
            kind, label = ('AP', name[3:]) if name.startswith('AP_') else ('mAP', name)
            result[branch][kind][label] = None if math.isnan(value) else value
    return result


def format_branches(results: dict[str, dict]) -> str:
    """A table in percent: one row per class, then the means; a dash where there is no number."""
    from mmtad_decomp.utils import format_table

    gain = 'joint - better branch'
    teacher = [name for name in WITH_TEACHER if name in results and name not in BRANCHES]
    columns = [*BRANCHES, gain, *teacher]
    rows = []
    for kind in ('AP', 'mAP'):
        for name in results['joint'][kind]:
            values = {branch: found[kind][name] for branch, found in results.items()}
            if None in values.values():  # no ground truth, so no branch has a number
                rows.append([name, *'-' * len(columns)])
                continue
            cells = {branch: f'{100 * value:.1f}' for branch, value in values.items()}
            better = max(values['appearance'], values['motion'])
            cells[gain] = f'{100 * (values["joint"] - better):+.1f}'
            rows.append([name, *(cells[column] for column in columns)])
    header = ['', *(column.replace('_', ' ') for column in columns)]
    return format_table(header, rows)


def main(argv: list[str] | None = None) -> dict[str, dict]:
    """Test all branches and write; returns what :func:`by_branch` does."""
    args = parse_args(argv)
    demand_config_file(args.config)

    from tools.config_reading import read_checked_config

    cfg = read_checked_config(args, [args.split])

    from mmengine.dist import is_main_process

    from mmtad_decomp.utils import demand_writable, resolve_checkpoint
    from tools._cli import build_runner, explained, set_up
    from tools.analysis_tools import branch_parts  # noqa: F401  registers them

    demand_writable(Path(args.out_dir, 'branch_ap.json'), '--out-dir')
    set_up(cfg, args)
    model = copy.deepcopy(cfg.model)
    use_branches(cfg, args)
    cfg.load_from = resolve_checkpoint(args.checkpoint)
    cfg.resume = False
    if '://' not in cfg.load_from:
        demand_shared_head(cfg.load_from)
    with explained(cfg):
        runner = build_runner(cfg)
        runner.cfg.model = model  # whose network the checkpoint is compared with
        results = by_branch(runner.test())
    if is_main_process():
        write_results(results, args, cfg)
    return results


def write_results(results: dict[str, dict], args: argparse.Namespace, cfg: Config) -> None:
    """Write JSON, table and picture, and print the table."""
    from mmtad_decomp.utils import atomic_write, write_json
    from mmtad_decomp.visualization import save_figure
    from mmtad_decomp.visualization.diagnosis_plots import plot_branch_ap

    out = Path(args.out_dir)
    content = dict(
        config=args.config, checkpoint=cfg.load_from, split=args.split, branches=results
    )
    write_json(out / 'branch_ap.json', content)
    text = format_branches(results)
    with atomic_write(out / 'branch_ap.txt', 'w', encoding='utf-8') as file:
        file.write(text + '\n')
    ap = {branch: results[branch]['AP'] for branch in BRANCHES}
    if ap['joint']:
        title = f'AP by class, {Path(args.config).stem}'
        save_figure(plot_branch_ap(ap, title), out / 'branch_ap.png')
    print(f'AP (%)\n{text}\n\nwritten to {out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
