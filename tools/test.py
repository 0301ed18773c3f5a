"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.command_line import add_common_arguments, demand_config_file, run_main

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; the flags are those of MMAction2's tools."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, or the work directory of a training')
    parser.add_argument(
        '--dump', help='write the raw predictions of every window to this .pkl file'
    )
    parser.add_argument(
        '--dump-json', help='write the detections to this file, in ActivityNet submission format'
    )
    parser.add_argument(
        '--dump-raw',
        help='write the candidates before post-processing to this .npz file, for '
        'tools/analysis_tools/ensemble_predictions.py',
    )
    parser.add_argument('--classwise', action='store_true', help='report the AP of every class')
    add_common_arguments(parser)
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply the flags of testing to the config.

    Raises:
        OutputPathError: If a file that a flag names cannot be written.
        ConfigError: If a flag has no effect on the metrics of the config.
        FileNotFoundError: If there is no checkpoint.
    """
    from mmtad_decomp.utils import demand_writable, resolve_checkpoint

    for flag in ('dump', 'dump_json', 'dump_raw'):
        if getattr(args, flag) is not None:
            demand_writable(getattr(args, flag), f'--{flag.replace("_", "-")}')
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
    set_flags_of_metrics(evaluators, args)
    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--dump must name a .pkl file, got {args.dump}')
        evaluators.append(dict(type='DumpResults', out_file_path=args.dump))
    cfg.test_evaluator = evaluators
    cfg.load_from = resolve_checkpoint(args.checkpoint)
    cfg.resume = False
    return cfg


def set_flags_of_metrics(evaluators: Sequence[dict], args: argparse.Namespace) -> None:
    """Give metrics the flags that are theirs; detections are dumped in preference to proposals.

    Raises:
        ConfigError: If no metric takes a flag that was given.
    """
    from mmaction.registry import METRICS

    from mmtad_decomp.evaluation.metrics import ProposalMetric, TADMetric
    from mmtad_decomp.utils import ConfigError

    types = [e['type'] for e in evaluators]
    classes = [METRICS.get(kind) if isinstance(kind, str) else kind for kind in types]

    def of_kind(kind: type) -> list[dict]:
        return [e for e, own in zip(evaluators, classes) if own and issubclass(own, kind)]

    detections = of_kind(TADMetric)
    written = detections or of_kind(ProposalMetric)
    for flag, key, metrics, takers in (
        ('dump_json', 'dump_path', written, 'TADMetric and ProposalMetric take'),
        ('dump_raw', 'raw_path', written, 'TADMetric and ProposalMetric take'),
        ('classwise', 'classwise', detections, 'TADMetric takes'),
    ):
        value = getattr(args, flag)
        if value is None or value is False:
            continue
        if not metrics:
            raise ConfigError(
                f'--{flag.replace("_", "-")} has no effect: only {takers} it, but '
                f'`test_evaluator` of {args.config} is {", ".join(map(str, types))}; leave it out'
            )
        for metric in metrics:
            metric[key] = value


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Test; returns the metrics."""
    args = parse_args(argv)
    demand_config_file(args.config)
    from tools.config_reading import read_checked_config  # late: takes a second

    cfg = read_checked_config(args, ['test'])
    from tools._cli import build_runner, explained, set_up  # late: takes seconds

    cfg = merge_args(set_up(cfg, args), args)
    with explained(cfg):
        runner = build_runner(cfg)
        return runner.test()


if __name__ == '__main__':
    sys.exit(run_main(main))
