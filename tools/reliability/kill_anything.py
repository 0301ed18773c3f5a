"""Kill the tools at random moments, start them again until they finish, and compare.

Each story starts a tool in an empty folder. After a random time one random process of the tool is
killed by SIGKILL: the tool itself or one that it started. This repeats until the tool ends with
exit code 0. Then weights, frames, flow, detections and results must equal those of a run that was
left alone, bit for bit, and after each kill every file under a final name must be a whole one.

Example:
    python tools/reliability/kill_anything.py --kills 100
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from tools.reliability.cases import Case


@dataclass
class Tally:
    """What happened to a tool.

    Attributes:
        kills: Processes killed.
        of_children: Kills among them of processes that the tool had started.
        starts: Starts of the tool.
        stories: Runs from an empty folder to exit code 0.
        seconds: Of the run that was left alone.
        faults: What was wrong, in words.
    """

    kills: int = 0
    of_children: int = 0
    starts: int = 0
    stories: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def tell(
    case: Case, folder: Path, wanted: dict[str, str], tally: Tally, draw: random.Random
) -> None:
    """One story: start, kill, start again, until the tool ends well; notes faults.

    Args:
        case: The tool.
        folder: An empty folder.
        wanted: The outcome of the run that was left alone.
        tally: Is advanced.
        draw: Random moments and victims.
    """
    from tools.reliability.cases import not_whole, same
    from tools.reliability.forks import PATIENCE, ToolProcess, descendants

    for start in itertools.count():
        process = ToolProcess(case, folder)
        tally.starts += 1
        # On a busy machine a tool takes longer than it did alone: later starts get more time.
        if process.wait(draw.uniform(0, (1.2 + 0.1 * start) * tally.seconds)) is None:
            victim = draw.choice([process.pid, *descendants(process.pid)])
            _kill(victim)
            tally.kills += 1
            tally.of_children += victim != process.pid
            if process.wait(PATIENCE) is None:
                process.end()
                tally.faults.append(f'hangs after a kill of {victim}; {process.log}')
                return
        if process.returncode == 0:
            if start == 0:  # it ran through: what it takes while the machine is as busy as now
                tally.seconds = (tally.seconds + process.seconds) / 2
            break
        tally.faults += [f'{folder}: after a kill {w}' for w in not_whole(case, folder, wanted)]
    tally.stories += 1
    different = same(case.outcome(folder), wanted)
    if different:
        tally.faults.append(f'{folder}: {", ".join(different[:5])} differ')
    leftovers = [str(p.relative_to(folder)) for p in folder.rglob('.*') if _is_leftover(p)]
    if leftovers:
        tally.faults.append(f'{folder}: left behind {", ".join(leftovers[:5])}')


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGKILL)


def _is_leftover(path: Path) -> bool:
    return path.name.endswith('.tmp') or '.partial' in path.name


def soak(
    cases: list[Case],
    folder: Path,
    kills: int,
    seed: int,
    report: Callable[[dict[str, Tally]], None],
) -> dict[str, Tally]:
    """Tell stories of all tools in turn until so many kills happened; reports after each."""
    from tools.reliability.forks import run_once

    draw, tallies = random.Random(seed), {case.name: Tally() for case in cases}
    wanted: dict[str, dict[str, str]] = {}
    for case in cases:
        tally = tallies[case.name]
        wanted[case.name], tally.seconds = run_once(case, folder / case.name / 'alone')
        print(
            f'{case.name}: {tally.seconds:.1f} s alone, {len(wanted[case.name])} outcomes',
            flush=True,
        )
    number = 0
    while sum(tally.kills for tally in tallies.values()) < kills:
        number += 1
        # The tool with the fewest kills is next, so that each gets its share.
        case = min(cases, key=lambda case: tallies[case.name].kills)
        tally, place = tallies[case.name], folder / case.name / f'story{number}'
        place.mkdir()
        known = len(tally.faults)
        tell(case, place, wanted[case.name], tally, draw)
        print(f'{case.name}: {tally.kills} kills in {tally.stories} stories', flush=True)
        report(tallies)
        for fault in tally.faults[known:]:
            print(f'  FAULT {fault}', flush=True)
        if len(tally.faults) == known:
            shutil.rmtree(place)
    return tallies


def table_of(tallies: dict[str, Tally]) -> str:
    """The tallies as a Markdown table."""
    from mmtad_decomp.utils import format_table

    header = ['tool', 'alone (s)', 'stories', 'starts', 'kills', 'of its children', 'faults']
    rows = [
        [name, f'{t.seconds:.1f}', t.stories, t.starts, t.kills, t.of_children, len(t.faults)]
        for name, t in tallies.items()
    ]
    sums = [sum(column) for column in zip(*(row[2:] for row in rows))]
    rows.append(['all', '', *sums])
    return format_table(header, [[str(cell) for cell in row] for row in rows])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=100, help='how many at least')
    parser.add_argument('--seed', type=int, default=0, help='of the random moments')
    parser.add_argument('--only', nargs='+', metavar='TOOL', help='such as train; default: all')
    parser.add_argument('--folder', type=Path, help='where to work; default: a temporary one')
    parser.add_argument(
        '--json', type=Path, help='write the counts to this file, after each story'
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Soak; returns the exit code: 1 if there was a fault."""
    from mmtad_decomp.utils import write_json
    from tools.reliability.forks import ready_cases

    folder = (args.folder or Path(tempfile.mkdtemp(prefix='kill_anything_'))).absolute()
    cases = ready_cases(folder, args.only)
    begin = time.monotonic()

    def save(tallies: dict[str, Tally]) -> None:
        if args.json is not None:
            write_json(args.json, {name: vars(tally) for name, tally in tallies.items()}, indent=1)

    tallies = soak(cases, folder, args.kills, args.seed, save)
    print(f'\n{table_of(tallies)}\n{(time.monotonic() - begin) / 60:.1f} minutes; {folder}')
    save(tallies)
    return 1 if any(tally.faults for tally in tallies.values()) else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_main(run, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
