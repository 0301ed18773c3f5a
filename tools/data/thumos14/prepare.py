"""Prepare THUMOS'14: frames or resized videos, and annotations of a named census.

Example:
    python tools/data/thumos14/prepare.py --annotations path/to/annotation \
        --videos path/to/videos --out data/thumos14
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import run_main
from tools.data.common.preparing import add_arguments, prepare
from tools.data.thumos14.annotations import CLASSES, EXCLUDED, read_thumos


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--annotations',
        type=Path,
        required=True,
        help='JSON file, or the folder with {Class}_val.txt and {Class}_test.txt',
    )
    parser.add_argument(
        '--census', type=int, choices=sorted(EXCLUDED), default=211, help='test videos to keep'
    )
    add_arguments(parser, out='data/thumos14', fps='10', short_side=110)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Convert annotations and store videos; returns the exit code."""
    records = read_thumos(args.annotations, args.census)
    tests = sum(record.subset == 'validation' for record in records.values())
    if tests != args.census:
        print(f'note: {tests} test videos are here, the census of {args.census} is not full')
    return prepare(args, records, CLASSES, f"THUMOS'14, census of {args.census} test videos")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
