"""Give bad files to everything that reads files, and list how each reader reacts.

Each file is read in a process of its own with bounded memory and time. A reader may refuse a file
with an error of one sentence, or read it where the damage leaves something to read. It must not
hang, crash, fail with another error, run code from the file, or write outside of its folder.

Example:
    python tools/reliability/bad_input.py --json cases.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import is_mistake, run_main, sentence_of

if TYPE_CHECKING:
    from tools.reliability.bad_files import BadFile

KINDS = (
    'annotation JSON',
    'submission JSON',
    'features',
    'raw predictions',
    'flow',
    'checkpoint',
    'config',
    'video',
)
"""Keys of ``bad_files.GENERATORS``, which takes seconds to import."""

SECONDS, MEMORY = 60, 2 << 30
"""Bounds of a reader; the memory is beyond what the process has mapped before."""


def react(case: BadFile, folder: Path) -> tuple[str, str]:
    """How a reader reacts to a file.

    Args:
        case: The file.
        folder: An empty folder to write it to.

    Returns:
        ``'refused'``, ``'read'``, or a fault in words; and the message.
    """
    path = folder / case.file
    path.write_bytes(case.content)
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        _read_in_child(case, path, sender)
    os.close(sender)
    status = _wait(pid, time.monotonic() + SECONDS)
    with open(receiver, encoding='utf-8') as stream:
        text = stream.read()
    if status is None:
        return 'hangs', f'more than {SECONDS} s'
    if not text:
        return 'crashes', f'status {os.waitstatus_to_exitcode(status)}'
    reaction, message = json.loads(text)
    return reaction, message.replace(str(folder), '')


def _wait(pid: int, limit: float) -> int | None:
    while time.monotonic() < limit:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _read_in_child(case: BadFile, path: Path, sender: int) -> None:
    answer = ('crashes', 'while it ends')
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            case.read(path)
            answer = ('read', '')
        except BaseException as error:
            good = isinstance(error, Exception) and is_mistake(error)
            name = '' if good else f'{type(error).__name__}: '
            answer = ('refused' if good else 'FAULT', name + sentence_of(error)[:300])
    finally:
        os.write(sender, json.dumps(answer).encode())
        os._exit(0)


def try_all(folder: Path, kinds: Sequence[str] | None = None) -> list[dict[str, str]]:
    """React to all files, or to those of some kinds.

    Args:
        folder: An empty folder.
        kinds: Kinds of files; None: all.

    Returns:
        For each file ``kind``, ``file`` (what is wrong), ``reaction`` and ``message``.
    """
    from tools.reliability.bad_files import GENERATORS

    records = []
    inside, proof = folder / 'inside', folder / 'made' / 'proof'
    proof.parent.mkdir()
    inside.mkdir()
    for kind in GENERATORS if kinds is None else kinds:
        for case in GENERATORS[kind](proof):
            before = {path.name for path in folder.iterdir()}
            reaction, message = react(case, inside)
            if proof.exists():
                reaction, message = 'runs code from the file', message
                proof.rmdir()
            if {path.name for path in folder.iterdir()} != before:
                reaction = 'writes outside of its folder'
            for path in inside.iterdir():
                path.unlink()
            records.append(
                dict(kind=case.kind, file=case.name, reaction=reaction, message=message)
            )
    return records


def faults(records: Sequence[dict]) -> list[dict]:
    """The reactions that must not be."""
    return [record for record in records if record['reaction'] not in ('refused', 'read')]


def table_of(records: Sequence[dict]) -> str:
    """Numbers of reactions by kind."""
    from mmtad_decomp.utils import format_table

    counts = Counter((record['kind'], record['reaction']) for record in records)
    rows = []
    for kind in dict.fromkeys(record['kind'] for record in records):
        mine = {reaction: n for (k, reaction), n in counts.items() if k == kind}
        refused, read = mine.pop('refused', 0), mine.pop('read', 0)
        wrong = sum(mine.values())
        rows.append([kind, refused + read + wrong, refused, read, wrong])
    rows.append(['all', *(sum(column) for column in zip(*(row[1:] for row in rows)))])
    header = ['kind', 'files', 'refused', 'read', 'faults']
    return format_table(header, [[str(cell) for cell in row] for row in rows])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kinds', nargs='+', choices=KINDS, help='default: all')
    parser.add_argument('--quiet', action='store_true', help='list faults only')
    parser.add_argument('--json', type=Path, help='write every reaction to this file')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Try all; returns the exit code: 1 if there was a fault."""
    from mmtad_decomp.utils import write_json

    with tempfile.TemporaryDirectory(prefix='bad_input_') as folder:
        records = try_all(Path(folder), args.kinds)
    for record in faults(records) if args.quiet else records:
        print(f'{record["kind"]}, {record["file"]}: {record["reaction"]}: {record["message"]}')
    print(f'\n{table_of(records)}')
    if args.json is not None:
        write_json(args.json, records, indent=1)
    return 1 if faults(records) else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
