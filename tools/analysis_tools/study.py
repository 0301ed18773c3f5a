"""Train and test the systems of a study over seeds, and compare them.

Example:
    python tools/analysis_tools/study.py configs/studies/STUDY.py

Runs what is missing, and goes on where it was stopped. See docs/en/user_guides/study.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.interruption import Interrupted

if TYPE_CHECKING:
    from tools.studies import Catalog, Results, Task


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('study', help='study file')
    parser.add_argument('--only', nargs='+', metavar='ROW', help='rows to run; default: all')
    parser.add_argument('--seeds', nargs='+', type=int, help='seeds to run; default: all')
    parser.add_argument(
        '--jobs', type=int, help='jobs at a time; default: one for each GPU, else for each core'
    )
    parser.add_argument('--results', help='JSON file of the results, in place of the study file')
    parser.add_argument(
        '--merge', nargs='+', metavar='FILE', help='results of other machines, to take over first'
    )
    parser.add_argument('--dry-run', action='store_true', help='print what would run, and stop')
    parser.add_argument('--report', action='store_true', help='only write tables and plot')
    parser.add_argument(
        '--interval', type=float, default=60.0, help='seconds between lines of progress'
    )
    return parser.parse_args(argv)


def _check(args: argparse.Namespace, catalog: Catalog) -> None:
    from tools.studies import StudyError

    study = catalog.study
    for option, asked, known in (
        ('--only', args.only, list(study.rows)),
        ('--seeds', args.seeds, list(study.seeds)),
    ):
        unknown = [value for value in asked or () if value not in known]
        if unknown:
            raise StudyError(f'{option}: {unknown} are not in {study.file}, which has {known}')
    if args.jobs is not None and args.jobs < 1:
        raise StudyError(f'--jobs must be at least 1, got {args.jobs}')
    if args.interval <= 0:
        raise StudyError(f'--interval must be above 0 seconds, got {args.interval}')


def _announce(catalog: Catalog, results: Results, plan: Sequence[Task], jobs: int) -> None:
    from tools.studies.execution import estimate, format_duration, known_seconds

    stale = results.stale()
    if stale:
        print(
            f'{len(stale)} results are of other configs, data or versions, and do not count: '
            f'{", ".join(stale[:5])}{", ..." if len(stale) > 5 else ""}'
        )
    seconds = estimate(plan, known_seconds(results), catalog.study.rows, jobs)
    time = 'no estimate before the first result' if seconds is None else format_duration(seconds)
    done = sum(results.is_done(run, catalog.mark(run)) for run in catalog.runs())
    print(f'{len(plan)} runs to do, {jobs} at a time ({time}); {done} results are there')


def _print_plan(catalog: Catalog, plan: Sequence[Task]) -> None:
    missing = {task.run for task in plan}
    for task in plan:
        trained = catalog.is_trained(task.run)
        steps = ['train'] * (not trained) + ['test'] * task.test
        needed = [run.key for run in catalog.needs(task.run) if run in missing]
        after = f', after {" and ".join(needed)}' if needed else ''
        print(f'  {task.run.key}: {" and ".join(steps)}{after}')


def run(args: argparse.Namespace) -> int:
    """Run a study; returns the exit code."""
    from tools.studies import Catalog, Execution, Results, load_study, make_plan
    from tools.studies.processes import make_slots
    from tools.studies.report import Report

    catalog = Catalog(load_study(args.study, args.results))
    _check(args, catalog)
    results = Results(catalog)
    for path in args.merge or ():
        print(f'{path}: {len(results.merge(Path(path)))} results taken over')
    slots = make_slots(args.jobs)
    failures: dict = {}
    if not args.report:
        plan = make_plan(catalog, results, args.only, args.seeds)
        _announce(catalog, results, plan, len(slots))
        if args.dry_run:
            _print_plan(catalog, plan)
            return 0
        say = lambda line: print(line, flush=True)  # noqa: E731
        failures = Execution(catalog, results, slots, say, args.interval).run(plan)
    report = Report(results)
    text, paths = report.markdown(), report.write()
    print(f'\n{text}\nwritten: {", ".join(paths)}')
    if failures:
        print(f'failed: {", ".join(run.key for run in failures)}', file=sys.stderr)
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parse_args(argv)

    def command() -> int:
        try:
            return run(args)
        except Interrupted as error:
            print(f'{error}; the same command goes on from here', file=sys.stderr)
            return error.code

    return run_main(command)


if __name__ == '__main__':
    sys.exit(main())
