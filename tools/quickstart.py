"""The main job on the embedded data set: one seed of a study of four systems, and a picture.

The study is configs/studies/quickstart.py. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tools.interruption import Interrupted, interrupted_by_signals
from tools.model_converters import publish_student
from tools.script_process import start_server
from tools.visualizations import timeline

if TYPE_CHECKING:
    from tools.studies import Catalog, Execution, Results, Task

STUDY = 'configs/studies/quickstart.py'
SEED = 0
STUDENT = 'decomposed'
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
# Two jobs at a time on half of the cores each: the threads of one small step spend much of their
# time waiting for each other.
JOBS = 2


class StepFailed(RuntimeError):
    """A step of the main job failed; the message names its log."""


class Board:
    """A line with a bar for each system and one for the whole run, live in a terminal.

    Args:
        catalog: Runs of the study.
        plan: Tasks of the study that will be done.
        console: Where the lines go.
    """

    def __init__(self, catalog: Catalog, plan: Sequence[Task], console: Console) -> None:
        self.progress = Progress(
            TextColumn('{task.description:<32}'),
            BarColumn(bar_width=30),
            TextColumn('{task.percentage:>3.0f} %  {task.fields[words]}'),
            console=console,
            auto_refresh=False,
        )
        missing = {task.run for task in plan}
        self.lines = {}
        for run in catalog.runs(seeds=[SEED]):
            done, words = (0, 'waits') if run in missing else (1, 'done before')
            title = catalog.row(run).title
            self.lines[run] = self.progress.add_task(title, total=1, completed=done, words=words)
        self.whole = self.progress.add_task('whole run', total=1, words='')
        self.begin = time.monotonic()

    def update(self, execution: Execution, waiting: Sequence[Task]) -> None:
        """Show how far each job and the whole run are."""
        from tools.studies.execution import format_duration

        left = [task.run for task in waiting]
        for job in execution.jobs:
            share, words = job.progress()
            left.append(job.task.run)
            self.progress.update(self.lines[job.task.run], completed=share, words=words)
        for run, line in self.lines.items():
            if run not in left and self.progress.tasks[line].fields['words'] != 'done before':
                self.progress.update(line, completed=1, words='done')
        seconds = execution.seconds_left(waiting)
        if seconds is not None:
            passed = time.monotonic() - self.begin
            words = f'about {format_duration(seconds)} left'
            share = passed / max(passed + seconds, 1e-9)
            self.progress.update(self.whole, completed=share, words=words)
        self.progress.refresh()


def run_study(catalog: Catalog, results: Results, console: Console) -> None:
    """Train and test what is missing.

    Raises:
        StepFailed: If a training or a test failed.
    """
    from tools.studies import Execution, make_plan
    from tools.studies.processes import make_slots

    plan = make_plan(catalog, results, seeds=[SEED])
    board = Board(catalog, plan, console)
    live = console.is_terminal
    failures: list[str] = []

    def say(line: str) -> None:
        if not live:
            print(line, flush=True)

    execution = Execution(
        catalog,
        results,
        make_slots(JOBS),
        report=say,
        interval=30.0,
        watch=board.update if live else None,
    )
    if live:
        with board.progress:
            failures = list(execution.run(plan).values())
            board.update(execution, [])
    else:
        failures = list(execution.run(plan).values())
    if failures:
        raise StepFailed(failures[0])


def clear_work_dir(folder: Path) -> None:
    """Delete all that a work directory holds but its lock, which is held meanwhile.

    Raises:
        StudyError: If another process uses the folder; nothing is deleted then.
    """
    from tools.studies.processes import lock_work_dir

    with lock_work_dir(folder) as lock:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != lock.path:
                path.unlink()


def run_step(
    title: str, tool: Callable[[list[str]], object], arguments: Sequence[str], log: Path
) -> None:
    """Run one of the project's tools in this process, with its output in ``log``.

    Raises:
        StepFailed: If it fails.
    """
    begin = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, 'w', encoding='utf-8') as file:
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                tool(list(arguments))
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=file)
            raise StepFailed(f'{title} failed, see {log}: {error}') from error
    print(f'{title}: done in {time.monotonic() - begin:.0f} s', flush=True)


def print_table(catalog: Catalog, results: Results) -> None:
    """Print mAP by tIoU of every system."""
    print(f'\nmAP (%) on the validation videos, seed {SEED}, at tIoU:')
    print(f'{"":<32}' + ''.join(f'{t:>7}' for t in THRESHOLDS) + f'{"0.3:0.7":>10}')
    for name, row in catalog.study.rows.items():
        found = results.score(name, SEED)
        assert found is not None  # the study has ended
        score = found['validation']
        cells = ''.join(f'{100 * score[f"mAP@{t}"]:7.1f}' for t in THRESHOLDS)
        print(f'{row.title:<32}{cells}{100 * score[catalog.study.metric]:10.1f}')


def finish(catalog: Catalog, out: Path) -> None:
    """Publish the decomposed student and draw all systems' detections of one recording."""
    runs = {run.row: run for run in catalog.runs(seeds=[SEED])}
    student = runs[STUDENT]
    config = str(catalog.folder(student) / 'config.py')
    work_dir = str(catalog.folder(student) / 'train')
    publish = [config, work_dir, str(out / 'published')]
    run_step('publish the student', publish_student.main, publish, out / 'publish.log')
    data = Path(catalog.config(student).test_dataloader.dataset.data_root)
    draw = [
        str(data / 'annotations.json'),
        '--subset',
        'validation',
        '--best',
        '--key-frames',
        '12',
    ]
    for name, run in runs.items():
        title = catalog.study.rows[name].title
        draw += ['--results', f'{title}={catalog.test_folder(run) / "validation.json"}']
    draw += ['--out', str(out / 'timeline.png')]
    run_step('draw detections', timeline.main, draw, out / 'timeline.log')


def main(argv: list[str] | None = None) -> int:
    """Run the main job; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--fresh', action='store_true', help='redo everything')
    args = parser.parse_args(argv)
    start_server()  # its imports take as long as those that follow

    from tools.studies import Catalog, Results, StudyError, load_study
    from tools.studies.execution import format_duration

    begin = time.monotonic()
    try:
        with interrupted_by_signals():
            catalog = Catalog(load_study(STUDY))
            out = catalog.study.work_dir
            if args.fresh:
                clear_work_dir(out)
            results = Results(catalog)
            run_study(catalog, results, Console())
            finish(catalog, out)
    except Interrupted as error:
        print(f'\n{error}; the same command goes on from here', file=sys.stderr)
        return error.code
    except (StepFailed, StudyError) as error:
        print(f'\nerror: {error}', file=sys.stderr)
        return 2 if isinstance(error, StudyError) else 1
    print_table(catalog, results)
    print(f'\npicture: {out / "timeline.png"}\nnumbers: {results.path}')
    print(f'student: {out / "published"} (RGB alone, without teacher and training aids)')
    print(f'whole run: {format_duration(time.monotonic() - begin)}\n')
    print('What next: prepare a data set      docs/en/user_guides/datasets.md')
    print('           train on it             docs/en/user_guides/train_test.md')
    print('           how the method works    docs/en/user_guides/method.md')
    return 0


if __name__ == '__main__':
    sys.exit(main())
