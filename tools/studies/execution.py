"""Working off a plan: trainings and tests side by side, and each result kept at once."""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config

from mmtad_decomp.utils import WorkDirLock, class_name, processor_name, write_json
from tools.interruption import Interrupted

from .catalog import Catalog, Run, detection_metric
from .definition import Row
from .planning import Task
from .processes import Process, Slot, end_all, lock_work_dir, training_progress
from .results import Results, build_metric, match_detections, metrics_of, write_matches
from .training_log import summarize_training

_TOOLS = Path(__file__).resolve().parents[1]
TRAIN = (str(_TOOLS / 'train.py'),)
TEST = (str(_TOOLS / 'test.py'),)
FUSE = (str(_TOOLS / 'analysis_tools' / 'ensemble_predictions.py'),)
# Loops that validate as one that tests.
_VALIDATION_LOOPS = {'TestLoop': 'ValLoop', 'AutocastTestLoop': 'AutocastValLoop'}


@dataclass
class Job:
    """A task on its slot.

    Attributes:
        task: Task to run.
        slot: Where.
        steps: Starts one process after the other.
        process: The one that runs.
        stage: ``'train'``, or the subset that is tested.
        epochs: Of its training; None if it counts iterations.
        begun_at: Share of the training that was done when it was started or resumed.
        first: Seconds since its start and share at the first step that was seen; None before.
    """

    task: Task
    slot: Slot
    steps: Iterator[Process] = field(default_factory=lambda: iter(()))
    process: Process | None = None
    stage: str = 'train'
    epochs: int | None = None
    begun_at: float = 0.0
    first: tuple[float, float] | None = None

    @property
    def started(self) -> Process:
        """The process, once there is one."""
        assert self.process is not None
        return self.process

    def progress(self) -> tuple[float, str]:
        """Share of the training that is done, and the stage in words."""
        if self.stage != 'train':
            return 1.0, f'tests {self.stage} videos'
        return training_progress(self.started.log, self.epochs)

    def whole_seconds(self) -> float | None:
        """What the whole training takes: its start once, and all steps at the rate so far.

        None before two looks at the training saw it advance.
        """
        share, seconds = self.progress()[0], self.started.seconds
        if self.stage != 'train' or share <= self.begun_at:
            return None
        if self.first is None:
            self.first = seconds, share
        begin, share_then = self.first
        if share <= share_then:
            return None
        rate = (seconds - begin) / (share - share_then)
        return max(0.0, begin - rate * (share_then - self.begun_at)) + rate


def format_duration(seconds: float) -> str:
    """``'45 s'``, ``'12 min'`` or ``'3 h 05 min'``."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60:02} min'


def known_seconds(results: Results) -> dict[str, float]:
    """Mean seconds of a run of each row that has results, of whatever version."""
    seconds: dict[str, list[float]] = {}
    for key, entry in results.runs.items():
        minutes = entry.get('minutes', 0) + entry.get('test_minutes', 0)
        seconds.setdefault(key.partition('/')[0], []).append(60 * minutes)
    return {row: sum(values) / len(values) for row, values in seconds.items()}


def _seconds_by_row(
    seconds: Mapping[str, float], rows: Mapping[str, Row]
) -> dict[str, float] | None:
    """Seconds of a run of each row, where unknown from its ``cost``; None if no time is known."""
    trained = {name: row.cost for name, row in rows.items() if not row.fuse}
    known = [value / trained[row] for row, value in seconds.items() if row in trained]
    if not known:
        return None
    unit = sum(known) / len(known)
    return {name: seconds.get(name, unit * trained.get(name, 0)) for name in rows}


def estimate(
    tasks: Sequence[Task], seconds: Mapping[str, float], rows: Mapping[str, Row], jobs: int
) -> float | None:
    """Seconds that tasks take; those of a row without a time are taken from its ``cost``.

    Args:
        tasks: Tasks to run.
        seconds: Seconds of a run of each row that is known.
        rows: The study's rows by name.
        jobs: Jobs at a time.

    Returns:
        None if no time is known.
    """
    of_row = _seconds_by_row(seconds, rows)
    return None if of_row is None else sum(of_row[task.run.row] for task in tasks) / jobs


class Execution:
    """Works off tasks, as many at a time as there are slots.

    Args:
        catalog: The runs of the study.
        results: Where results are kept.
        slots: Where jobs run.
        report: Called with a line of progress.
        interval: Seconds between lines of progress.
        watch: Called with this object and the waiting tasks, several times a second.
    """

    def __init__(
        self,
        catalog: Catalog,
        results: Results,
        slots: Sequence[Slot],
        report: Callable[[str], None] = print,
        interval: float = 60.0,
        watch: Callable[[Execution, Sequence[Task]], None] | None = None,
    ) -> None:
        self.catalog, self.results, self.report = catalog, results, report
        self.free = list(slots)
        self.num_slots = len(slots)
        self.interval, self.watch = interval, watch
        self.jobs: list[Job] = []
        self.failures: dict[Run, str] = {}
        self.lock: WorkDirLock | None = None
        self.signal: int | None = None

    def run(self, tasks: Sequence[Task]) -> dict[Run, str]:
        """Work off all tasks.

        SIGTERM and SIGINT end the processes too; what was trained so far is resumed next time.

        Returns:
            Why runs failed. Those that need a run that failed are among them.

        Raises:
            Interrupted: After a signal.
            StudyError: If another study uses the work directory.
        """
        self.lock = lock_work_dir(self.catalog.study.work_dir)
        handlers = {n: signal.signal(n, self._note) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._loop(list(tasks))
        finally:
            end_all([job.process for job in self.jobs if job.process is not None])
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self.lock.release()
        return self.failures

    def _note(self, number: int, frame: object) -> None:
        self.signal = number

    def _loop(self, waiting: list[Task]) -> None:
        total, shown = len(waiting), time.monotonic()
        while waiting or self.jobs:
            if self.signal is not None:
                raise Interrupted(self.signal)
            self._start(waiting)
            for job in list(self.jobs):
                if job.started.poll() is not None:
                    self._advance(job)
                    if job not in self.jobs:
                        self._finished(job, total - len(waiting) - len(self.jobs), total)
            if time.monotonic() - shown > self.interval and self.jobs:
                shown = time.monotonic()
                self.report(self.progress_line(waiting, total))
            if self.watch is not None:
                self.watch(self, waiting)
            time.sleep(min(0.2, self.interval / 2))

    def _start(self, waiting: list[Task]) -> None:
        """Give free slots the first tasks that wait for no other run."""
        for task in list(waiting):
            before = [*self.catalog.needs(task.run), *self.catalog.parts(task.run)]
            failed = [run for run in before if run in self.failures]
            if failed:
                waiting.remove(task)
                self._fail(task.run, f'{failed[0].key}, which it needs, failed')
                continue
            busy = [*waiting, *(job.task for job in self.jobs)]
            if not self.free or any(other.run in before for other in busy):
                continue
            waiting.remove(task)
            job = Job(task, self.free.pop(0))
            job.steps = self._steps(job)
            self.jobs.append(job)
            self._advance(job)

    def _advance(self, job: Job) -> None:
        """Start the next process of a job, or end the job."""
        process = job.process
        if process is not None and process.returncode:
            message = f'{job.stage} failed (exit code {process.returncode}); its log is '
            self._fail(job.task.run, f'{message}{process.log}:\n{process.tail()}')
        else:
            try:
                job.process = next(job.steps)
                return
            except StopIteration:
                pass
            except (OSError, ValueError, KeyError) as error:
                self._fail(job.task.run, f'{type(error).__name__}: {error}')
        self.jobs.remove(job)
        self.free.append(job.slot)

    def _fail(self, run: Run, why: str) -> None:
        self.failures[run] = why
        self.report(f'{run.key}: {why}')

    def _finished(self, job: Job, done: int, total: int) -> None:
        run = job.task.run
        if run not in self.failures:
            entry = self.results.runs.get(run.key, {})
            score = entry.get('validation', {}).get(self.catalog.study.metric)
            shown = f', {self.catalog.study.metric} {100 * score:.1f} %' if score else ''
            self.report(f'[{done}/{total}] {run.key}: done{shown}')

    def _steps(self, job: Job) -> Iterator[Process]:
        """Start one process after the other; each is over when this goes on."""
        catalog, run = self.catalog, job.task.run
        folder, cfg = catalog.folder(run), catalog.config(run)
        job.epochs = cfg.train_cfg.get('max_epochs')
        if not catalog.parts(run) and not catalog.is_trained(run):
            command = [*TRAIN, *self._training(job, cfg), '--resume']
            command += ['--work-dir', str(folder / 'train')]
            log = folder / 'train.log'
            job.begun_at = training_progress(log, job.epochs)[0]
            process = self._process(command, log, job.slot)
            yield process
            summary = summarize_training(folder / 'train')
            summary['peak_memory_mb'] = round(process.peak_memory_mb)
            summary |= dict(epochs=job.epochs, processor=_processor(), cores=job.slot.threads)
            write_json(folder / 'trained.json', summary, indent=1)
        if not job.task.test:
            return
        entry: dict[str, object] = dict(fingerprint=catalog.mark(run))
        if not catalog.parts(run):
            entry |= json.loads((folder / 'trained.json').read_text(encoding='utf-8'))
        target = catalog.test_folder(run)
        for subset, tested in catalog.test_configs(run).items():
            job.stage = subset
            detections = target / f'{subset}.json'
            made = [detections, *filter(None, [catalog.raw_files(run).get(subset)])]
            if not all(file.is_file() for file in made):
                process = self._test(job, tested, subset)
                yield process
                if subset == 'validation':
                    entry['test_minutes'] = round(process.seconds / 60, 2)
            metric = build_metric(tested, catalog.row(run).config)
            matches, videos = match_detections(metric, detections)
            write_matches(target / f'{subset}.npz', matches, videos)
            entry[subset] = metrics_of(metric, matches)
        self.results.add(run, entry)

    def _process(self, command: Sequence[str], log: Path, slot: Slot) -> Process:
        assert self.lock is not None  # since the run began
        return Process(command, log, slot, self.lock)

    def _training(self, job: Job, cfg: Config) -> list[str]:
        """Config and flags of a training, which tests at its end where it can.

        That saves the start of a process, the larger part of a small test.
        """
        run = job.task.run
        file = str(_dump(cfg, self.catalog.folder(run) / 'config.py'))
        loop = _VALIDATION_LOOPS.get(class_name((cfg.get('test_cfg') or {}).get('type')) or '')
        if not job.task.test or job.epochs is None or loop is None:
            return [file, '--no-validate']
        target = self.catalog.test_folder(run)
        cfg = copy.deepcopy(cfg)
        cfg.val_dataloader, cfg.val_cfg = cfg.test_dataloader, {**cfg.test_cfg, 'type': loop}
        cfg.val_evaluator = detection_metric(cfg, self.catalog.row(run).config)
        cfg.val_evaluator.dump_path = str(target / 'validation.json')
        if raw := self.catalog.raw_files(run):
            cfg.val_evaluator.raw_path = str(raw['validation'])
        cfg.train_cfg.val_begin = cfg.train_cfg.val_interval = job.epochs
        return [str(_dump(cfg, target / 'train_and_test.py'))]

    def _test(self, job: Job, cfg: Config, subset: str) -> Process:
        run = job.task.run
        target = self.catalog.test_folder(run)
        parts = [str(self.catalog.raw_files(part)[subset]) for part in self.catalog.parts(run)]
        if parts:
            command = [*FUSE, *parts, '--config', str(_dump(cfg, target / f'{subset}.py'))]
            command += ['--out', str(target / f'{subset}.json')]
            return self._process(command, target / f'{subset}.log', job.slot)
        if raw := self.catalog.raw_files(run):
            cfg = copy.deepcopy(cfg)
            detection_metric(cfg, self.catalog.row(run).config)['raw_path'] = str(raw[subset])
        command = [*TEST, str(_dump(cfg, target / f'{subset}.py'))]
        command += [str(self.catalog.folder(run) / 'train')]
        command += ['--work-dir', str(target / subset)]
        command += ['--dump-json', str(target / f'{subset}.json')]
        return self._process(command, target / f'{subset}.log', job.slot)

    def seconds_left(self, waiting: Sequence[Task]) -> float | None:
        """How long the running and the waiting tasks will take; None before the first step."""
        seconds, rows = known_seconds(self.results), self.catalog.study.rows
        for job in self.jobs:
            whole = job.whole_seconds()
            if whole is not None:
                seconds[job.task.run.row] = whole
        of_row = _seconds_by_row(seconds, rows)
        if of_row is None:
            return None
        ends = {
            job.task.run: (1 - job.progress()[0]) * of_row[job.task.run.row] for job in self.jobs
        }
        slots = sorted([*ends.values(), *[0.0] * (self.num_slots - len(ends))])
        for task in waiting:
            needed = (ends.get(run, 0.0) for run in self.catalog.needs(task.run))
            begin = max(slots.pop(0), *needed, 0.0)
            ends[task.run] = begin + of_row[task.run.row]
            slots = sorted([*slots, ends[task.run]])
        return max(ends.values(), default=0.0)

    def progress_line(self, waiting: Sequence[Task], total: int) -> str:
        """How far each job is, and how long all will take."""
        parts = [f'{job.task.run.key} {job.progress()[1]}' for job in self.jobs]
        left = self.seconds_left(waiting)
        done = total - len(waiting) - len(self.jobs)
        words = 'no estimate yet' if left is None else f'about {format_duration(left)} left'
        return f'[{done}/{total}] {"; ".join(parts)}; {words}'


def _dump(cfg: Config, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(cfg).dump(path)
    return path


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return processor_name()
