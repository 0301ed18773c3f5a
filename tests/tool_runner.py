"""Runs a tool's command line in this process: imports, ten seconds of a new one, are done once."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

from tools.command_line import run_main


@dataclass
class Finished:
    """Exit code and output of a command, named as in ``subprocess.CompletedProcess``."""

    returncode: int
    stdout: str
    stderr: str


def run_tool(main: Callable[[], object], *arguments: object) -> Finished:
    """Run ``main`` with ``sys.argv``, as the command does."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, 'argv', ['tool', *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = run_main(main)
        except SystemExit as end:  # of argparse
            code = end.code
    return Finished(code, out.getvalue(), err.getvalue())
