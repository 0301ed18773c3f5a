"""Prepare FIR-Image-Action: its five motion classes and its videos' true clocks.

Example:
    python tools/data/fir/prepare.py path/to/fir --out data/fir

SRC holds ``annotations.json`` and ``videos/<id>.mp4``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tools.data.common import labelled, run_main

VERSION = 'fir-motion-1'
CLASSES = ('walk', 'standup', 'sitdown', 'falling', 'lying')
STATES = ('sit', 'falled', 'sleeping', 'active')
UNCERTAIN = ('20200626_161431', '20200626_175151', '20200627_185209')


def prepare(args: argparse.Namespace) -> int:
    """Check the videos of SRC, and write annotations and videos.

    Returns:
        Exit code: 0, or 1 if a video failed (nothing is written then).
    """
    raw = labelled.read_videos(args.source)
    uncertain = [key for key in raw if key.startswith(UNCERTAIN)]
    kept = {k: v for k, v in raw.items() if not (args.exclude_uncertain and k in uncertain)}
    code = labelled.prepare(args, kept, VERSION, CLASSES, STATES)
    if code == 0:
        print(f'timing least certain ({"left out" if args.exclude_uncertain else "kept"}):')
        for key in uncertain:
            print(f'  {key} ({raw[key]["subset"]})')
    return code


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    labelled.add_arguments(parser, 'data/fir')
    parser.add_argument(
        '--exclude-uncertain',
        action='store_true',
        help='leave out the three videos whose timing is least certain',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(prepare, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
