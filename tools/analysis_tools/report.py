"""Write one HTML page about a tested model, or about two compared.

Examples:
    python tools/test.py CONFIG work_dirs/decomp/x --dump-json work_dirs/decomp/x/detections.json
    python tools/analysis_tools/report.py work_dirs/decomp/x
    python tools/analysis_tools/report.py work_dirs/decomp/x work_dirs/baseline/y --out both.html

The page holds results, plots and a browser of the videos, in which a click on a detection or an
instance plays that moment. It needs no network and no server. See docs/en/user_guides/report.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import add_traceback_argument, run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory, or file of detections; one or two'
    )
    parser.add_argument('--config', nargs='+', help='config of each run, where it is elsewhere')
    parser.add_argument(
        '--name',
        nargs='+',
        help="name of each run (default: its folder's, with those above where two are equal)",
    )
    parser.add_argument('--out', help='the page (default: report.html in the first run)')
    parser.add_argument(
        '--embed-mb',
        type=float,
        default=40.0,
        help='megabytes of videos in the page; the others are linked (default: 40)',
    )
    add_traceback_argument(parser)
    return parser.parse_args(argv)


def report(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        ValueError: If options do not fit.
    """
    if len(args.runs) > 2:
        raise ValueError(f'name one run, or two to compare, got {len(args.runs)}')
    for option, values in (('--config', args.config), ('--name', args.name)):
        if values is not None and len(values) != len(args.runs):
            raise ValueError(f'{option} takes one value for each run, got {len(values)}')
    if args.embed_mb < 0:
        raise ValueError(f'--embed-mb must be 0 or more, got {args.embed_mb:g}')
    from mmtad_decomp.utils import demand_writable  # late: takes seconds
    from tools.report_page import load_runs, write_page

    first = Path(args.runs[0])
    out = Path(args.out or (first if first.is_dir() else first.parent) / 'report.html')
    demand_writable(out, '--out')
    content = write_page(out, load_runs(args.runs, args.config, args.name), args.embed_mb)
    sources = [video['src'] or '' for video in content['videos']]
    embedded = sum(source.startswith('data:') for source in sources)
    linked = sum(bool(source) for source in sources) - embedded
    print(
        f'written: {out} ({out.stat().st_size / 1e6:.1f} MB; {len(sources)} videos: {embedded} in '
        f'the page, {linked} linked, {len(sources) - embedded - linked} without a file)'
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(lambda: report(parse_args(argv)))


if __name__ == '__main__':
    sys.exit(main())
