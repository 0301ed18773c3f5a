"""How command lines begin and end. Imports nothing heavy, so that a help text comes at once."""

from __future__ import annotations

import argparse
import difflib
import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.interruption import Interrupted, interrupted_by_signals

TRACEBACK_VARIABLE = 'MMTAD_TRACEBACK'

_ADVICE = {
    errno.ENOSPC: 'free some space or write to another disk (no file is left half-written)',
    errno.EDQUOT: 'free some of your quota or write to another disk',
    errno.EACCES: 'change its permissions or name another place',
    errno.EROFS: 'name a place that can be written to',
}
_WORKER_FRAME = re.compile(r'File "([^"]+)", line \d+')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of MMAction2's tools that training and testing have in common."""
    parser.add_argument('--work-dir', help='where logs, checkpoints and results go')
    add_cfg_options_argument(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--legacy-checkpoint',
        action='store_true',
        help='read checkpoints that hold pickled objects; only for files you trust, since such a '
        'file can run code',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    add_traceback_argument(parser)


def add_cfg_options_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag whose values :func:`tools.config_overrides.override` takes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the config: key=value, with dots between nested keys; lists '
        'as key="[a,b]"',
    )


def add_traceback_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag that :func:`run_main` looks for."""
    parser.add_argument(
        '--traceback',
        action='store_true',
        help=f'show where an error was raised; {TRACEBACK_VARIABLE}=1 does so in every tool',
    )


def add_named_paths_argument(
    parser: argparse.ArgumentParser, option: str, explanation: str, required: bool = False
) -> None:
    """Add an option ``NAME=PATH`` that may be repeated, each time with another name.

    Args:
        parser: The command line.
        option: Its name.
        explanation: Its help text.
        required: Whether it is needed at least once.
    """
    parser.add_argument(
        option,
        metavar='NAME=PATH',
        type=_named_path,
        action=_AppendNamedPath,
        default=[],
        required=required,
        help=explanation,
    )


class _AppendNamedPath(argparse.Action):
    """Appends a name and a path, whose name must be new, to a list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        name, path = values
        before = getattr(namespace, self.dest)
        if name in dict(before):
            raise argparse.ArgumentError(
                self,
                f'{dict(before)[name]} and {path} have the same name, "{name}"; give each a name '
                'of its own',
            )
        setattr(namespace, self.dest, [*before, values])


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition('=')
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f'expected name=path, got {text!r}')
    return name, path


def parse_fields(text: str) -> tuple[str, ...]:
    """``verb,noun`` as the fields whose values, joined by commas, name a class."""
    fields = tuple(text.split(','))
    if not all(fields):
        raise argparse.ArgumentTypeError(
            f'{text!r} must name a field (verb), or fields joined by commas (verb,noun)'
        )
    return fields


def demand_config_file(path: str) -> None:
    """Check that a config file exists, before anything heavy is imported.

    Raises:
        FileNotFoundError: If there is no such file; the message suggests the nearest one.
    """
    if Path(path).is_file():
        return
    folder = Path(path).parent
    names = [file.name for file in folder.glob('*.py')] if folder.is_dir() else []
    close = difflib.get_close_matches(Path(path).name, names, n=1)
    if Path(path).is_dir():
        advice = 'is a folder; name a config file in it'
    elif close:
        advice = f'does not exist; did you mean {folder / close[0]}?'
    else:
        advice = 'does not exist; see configs/ for the configs of this project'
    raise FileNotFoundError(f'config file {path} {advice}')


class PartlyDone(Exception):
    """A mistake that came after results were written, which were named: exit code 1, not 2."""


def run_main(command: Callable[..., Any], *args: Any) -> int:
    """Run a command; a mistake of the user becomes one sentence on stderr and exit code 2.

    Mistakes are the errors that this project raises on purpose (its own classes, and any
    ``ValueError`` raised in its code), those of the operating system, such as a missing file or a
    full disk, and missing packages. Everything else is a defect and keeps its traceback, and so
    does a mistake with ``--traceback`` or ``MMTAD_TRACEBACK=1``. Ctrl-C and SIGTERM end it with
    one sentence too, see :func:`~tools.interruption.interrupted_by_signals`. Characters that the
    encoding of stdout lacks are printed as ``\\u4f60``, as Python does on stderr.

    Args:
        command: Command line to run.
        *args: Its arguments.

    Returns:
        The exit code: what the command returned if that is an int, else 0; 2 after a mistake, 1
        after :class:`PartlyDone`, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        with interrupted_by_signals():
            result = command(*args)
    except KeyboardInterrupt as error:
        _print_traceback_on_demand()
        # A worker process passes on the plain one.
        known = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        print(known, file=sys.stderr)
        return known.code
    except Exception as error:
        if not is_mistake(error):
            raise
        _print_traceback_on_demand()
        print(f'error: {sentence_of(error)}', file=sys.stderr)
        return 1 if isinstance(error, PartlyDone) else 2
    return result if isinstance(result, int) else 0


def _print_traceback_on_demand() -> None:
    if '--traceback' in sys.argv or os.environ.get(TRACEBACK_VARIABLE, '0') not in ('', '0'):
        traceback.print_exc()


def is_mistake(error: BaseException) -> bool:
    """Whether an error tells of a mistake of the user, see :func:`run_main`."""
    if isinstance(error, (OSError, ImportError)):
        return True
    if type(error).__module__.partition('.')[0] in ('mmtad_decomp', 'tools'):
        return True
    return isinstance(error, ValueError) and _raised_by_project(error)


def sentence_of(error: BaseException) -> str:
    """The message of an error on one line, without the traceback that a worker put into it."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename and str(error.filename) not in text:
            text += f': {error.filename}'
    if 'Original Traceback' in text:
        lines = text.splitlines()
        last = max(i for i, line in enumerate(lines) if _WORKER_FRAME.search(line))
        # After the frame come its indented source lines, then `package.Class: message`.
        rest = [line for line in lines[last + 1 :] if line and not line.startswith(' ')]
        text = '\n'.join(rest).partition(': ')[2] or text
    if isinstance(error, OSError) and error.errno in _ADVICE:
        text = f'{text}; {_ADVICE[error.errno]}'
    return ' '.join(text.split())


def _raised_by_project(error: BaseException) -> bool:
    """Whether the innermost frame is code of this project, in a data loader's worker as well."""
    frames = traceback.extract_tb(error.__traceback__)
    files = _WORKER_FRAME.findall(str(error)) or [frame.filename for frame in frames]
    package = sys.modules.get('mmtad_decomp')
    roots = [Path(__file__).resolve().parent]
    if package is not None and package.__file__:
        roots.append(Path(package.__file__).resolve().parent)
    return bool(files) and any(Path(files[-1]).resolve().is_relative_to(r) for r in roots)
