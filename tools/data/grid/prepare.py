"""Prepare GRID: 26 words as actions, in recordings of one speaker's mouth.

Example:
    python tools/data/grid/prepare.py path/to/grid --out data/grid

SRC holds ``annotations.json`` and ``videos/<id>.mp4``. The letters of the alphabet are spoken too
and stay unlabelled.
"""

from __future__ import annotations

import argparse
import string
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import labelled, run_main

VERSION = 'grid-words-1'
CLASSES = (
    'bin', 'lay', 'place', 'set',
    'blue', 'green', 'red', 'white',
    'at', 'by', 'in', 'with',
    'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine',
    'again', 'now', 'please', 'soon',
)  # fmt: skip
LETTERS = tuple(string.ascii_lowercase)


def prepare(args: argparse.Namespace) -> int:
    """Check the videos of SRC, and write annotations and videos.

    Returns:
        Exit code: 0, or 1 if a video failed (nothing is written then).
    """
    return labelled.prepare(args, labelled.read_videos(args.source), VERSION, CLASSES, LETTERS)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    labelled.add_arguments(parser, 'data/grid')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(prepare, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
