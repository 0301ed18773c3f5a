"""How every script's command line ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


def run_main(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command; errors in the input become one line on stderr and exit code 2."""
    try:
        return command(args)
    except (FileNotFoundError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
