"""Extract the optical flow that a config loads, video by video.

Frames are those that the config's models see: its sampled rate, its short side. Run the same
command again after an interruption; finished videos are skipped.

Example:
    python tools/data/extract_flow.py configs/teacher/actionformer_tsm18_fir_of.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.data.common import parallel_map, print_failures, run_main
from tools.data.common.parallel import parse_shard, share
from tools.data.flow.estimators import METHODS

if TYPE_CHECKING:
    from mmtad_decomp.datasets.flow_store import FlowHeader


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config whose pipelines have LoadOpticalFlow')
    parser.add_argument('--method', choices=list(METHODS), default='tvl1')
    parser.add_argument(
        '--bound', type=float, default=20.0, help='clip displacements to so many pixels'
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes, of one thread each; default: one per core, with a launcher one',
    )
    parser.add_argument(
        '--shard', default='1/1', help='work on part i of n (i/n), for machines side by side'
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher; its processes share the videos (of the shard) among them',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace flow made with other settings'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=(), metavar='KEY=VALUE', help='override settings'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args(argv)


def _summary(results: dict[str, tuple[FlowHeader, bool]], method: str, bound: float) -> str:
    headers = [header for header, _ in results.values()]
    made = sum(new for _, new in results.values())
    values = [h.steps * h.height * h.width for h in headers]
    total = sum(values) or 1
    square = sum(h.rms**2 * v for h, v in zip(headers, values)) / total
    clipped = sum(h.clipped * v for h, v in zip(headers, values)) / total
    return (
        f'{method}: flow of {len(results)} videos, {made} made now; root mean square '
        f'{square**0.5:.3f} px, {100 * clipped:.4f} % of the values beyond {bound:g} px'
    )


def run(args: argparse.Namespace) -> int:
    """Extract the flow of this process's videos; returns the exit code."""
    from mmengine.config import Config

    from mmtad_decomp.utils import usable_cores
    from tools.config_overrides import override
    from tools.data.flow.jobs import extract, jobs_of_config, launched_part

    part = launched_part(args.launcher)
    shard = parse_shard(args.shard)
    config = Config.fromfile(args.config)
    override(config, args.cfg_options)
    jobs = share(jobs_of_config(config, args.method, args.bound, args.overwrite), shard, part)
    workers = args.workers or (len(usable_cores()) if args.launcher == 'none' else 1)
    results, failures = parallel_map(extract, jobs, workers, 'flow')
    print(_summary(results, args.method, args.bound))
    return print_failures(failures, bool(results))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
