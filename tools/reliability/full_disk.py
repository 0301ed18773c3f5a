"""Fill the disk under the tools at many moments, make room, and compare.

Each tool works on a small tmpfs. Its size, or the number of its files, is limited to a part of
what the tool needs, so that a write fails early, in the middle or at the end; the tool must say so
in one sentence and leave no half-written file under a final name. Then the file system gets room,
and the same command must end with what a run on a large disk gives, bit for bit. Needs root.

Example:
    python tools/reliability/full_disk.py --limits 8
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from tools.reliability.cases import Case

PAGE = 4096


@contextlib.contextmanager
def small_disk(folder: Path, **limits: int) -> Iterator[Path]:
    """Mount a tmpfs.

    Args:
        folder: Where; made.
        limits: ``size`` in bytes or ``nr_inodes``.

    Raises:
        OSError: If it cannot be mounted.
    """
    folder.mkdir(parents=True)
    _mount(folder, **limits)
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def _mount(folder: Path, *options: str, **limits: int) -> None:
    settings = ','.join([*options, *(f'{key}={value}' for key, value in limits.items())])
    command = ['mount', '-t', 'tmpfs', '-o', settings, 'tmpfs', str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise OSError(f'cannot mount a tmpfs at {folder}: {result.stderr.strip()}; be root')


def need_of(case: Case, folder: Path) -> tuple[dict[str, str], int, int]:
    """Outcome on a large tmpfs, and the bytes and files that it then holds."""
    from tools.reliability.forks import run_once

    with small_disk(folder, size=1 << 30) as disk:
        home = folder.with_name(f'{folder.name}.home')
        home.mkdir()
        wanted, _ = run_once(case, disk, home)
        state = os.statvfs(disk)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        return wanted, used, state.f_files - state.f_ffree


def try_limit(
    case: Case, folder: Path, wanted: dict[str, str], **limits: int
) -> tuple[str, str, list[str]]:
    """Run a tool on a disk that becomes full, then with room.

    Returns:
        How it ended the first time, its last line, and what was wrong.
    """
    from tools.reliability.cases import not_whole, same
    from tools.reliability.forks import PATIENCE, ToolProcess

    faults = []
    home = folder.with_name(f'{folder.name}.home')
    with small_disk(folder, **limits) as disk:
        home.mkdir()
        first = ToolProcess(case, disk, home)
        if first.wait(PATIENCE) is None:
            first.end()
            return 'hangs', '', [f'hangs on a full disk; {first.log}']
        code, line = first.returncode, first.last_line('No space left')
        if code not in (0, 1, 2):
            faults.append(f'exit code {code}')
        if code and 'Traceback' in first.log.read_text(encoding='utf-8', errors='replace'):
            faults.append(f'a traceback in {first.log}')
        faults += not_whole(case, disk, wanted)
        _mount(disk, 'remount', size=1 << 30, nr_inodes=100_000)
        second = ToolProcess(case, disk, home)
        if second.wait(PATIENCE) != 0:
            second.end()
            faults.append(f'fails with room: {second.last_line()}; {second.log}')
        else:
            faults += [f'{name} differs' for name in same(case.outcome(disk), wanted)[:3]]
    if not faults:
        shutil.rmtree(home)
    return f'exit code {code}', line, faults


def try_case(
    case: Case, folder: Path, count: int, report: Callable[[str], None]
) -> list[dict[str, object]]:
    """Try a tool with ``count`` sizes and as many numbers of files, spread over what it needs."""
    wanted, used, files = need_of(case, folder / 'large')
    records: list[dict[str, object]] = []
    for index in range(count):
        share = (index + 0.5) / count
        for name, whole, unit in (('size', used, PAGE), ('nr_inodes', files, 1)):
            limit = max(2 * unit, int(share * whole) // unit * unit)
            place = folder / f'{name}{index}'
            ending, line, faults = try_limit(case, place, wanted, **{name: limit})
            record = dict(tool=case.name, limit=f'{name}={limit}', needs=whole, ending=ending)
            records.append(dict(record, message=line, faults=faults))
            report(f'{case.name}, {name}={limit} of {whole}: {ending}; {line[:150]}')
            for fault in faults:
                report(f'  FAULT {fault}')
    return records


def table_of(records: list[dict]) -> str:
    """Numbers of the tries of each tool, as text."""
    from mmtad_decomp.utils import format_table

    rows = []
    for name in dict.fromkeys(record['tool'] for record in records):
        mine = [record for record in records if record['tool'] == name]
        failed = sum(record['ending'] != 'exit code 0' for record in mine)
        faults = sum(len(record['faults']) for record in mine)
        rows.append([name, str(len(mine)), str(failed), str(faults)])
    return format_table(['tool', 'full disks', 'ended by it', 'faults'], rows)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--limits', type=int, default=6, help='sizes, and numbers of files')
    parser.add_argument('--only', nargs='+', metavar='TOOL', help='such as train; default: all')
    parser.add_argument('--folder', type=Path, help='where to work; default: a temporary one')
    parser.add_argument('--json', type=Path, help='write every try to this file')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Fill disks; returns the exit code: 1 if there was a fault."""
    from mmtad_decomp.utils import write_json
    from tools.reliability.forks import ready_cases

    folder = (args.folder or Path(tempfile.mkdtemp(prefix='full_disk_'))).absolute()
    cases = ready_cases(folder, args.only)
    say = lambda line: print(line, flush=True)  # noqa: E731
    records: list[dict] = []
    for case in cases:
        records += try_case(case, folder / case.name, args.limits, say)
    print(f'\n{table_of(records)}')
    if args.json is not None:
        write_json(args.json, records, indent=1)
    return 1 if any(record['faults'] for record in records) else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
