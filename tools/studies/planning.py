"""Missing runs, in the order to run them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmtad_decomp.annotations import AnnotationError

from .catalog import Catalog, Run, detection_metric
from .definition import StudyError
from .results import Results, build_metric


@dataclass(frozen=True)
class Task:
    """A run that has to be worked off.

    Attributes:
        run: The run.
        test: False for a teacher whose result is known, but whose checkpoint is gone.
    """

    run: Run
    test: bool = True


def make_plan(
    catalog: Catalog,
    results: Results,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Task]:
    """Tasks in order: by seed, then fold, what others need before them.

    A run whose result is known is left out, unless another one fuses its raw predictions and they
    are gone. What a run needs, such as its teacher, is trained for it if it is missing and not
    trained yet, even if that is not among ``rows`` or its result is known.

    Args:
        catalog: All runs.
        results: Known results.
        rows: Names of the rows to run; None: all.
        seeds: Seeds to run; None: all.

    Raises:
        StudyError: If there is no instance to test a run with.
    """
    wanted = catalog.runs(rows, seeds)
    needed = {run: True for run in wanted if not results.is_done(run, catalog.mark(run))}
    for run in list(needed):
        for part in catalog.parts(run):
            if not all(file.is_file() for file in catalog.raw_files(part).values()):
                needed[part] = True
    waiting = [run for run in needed if not catalog.is_trained(run)]
    while waiting:
        for other in catalog.needs(waiting.pop()):
            if not catalog.is_trained(other):
                needed.setdefault(other, False)
                waiting.append(other)
    plan = [Task(run, needed[run]) for run in catalog.runs() if run in needed]
    _demand_instances(catalog, {(t.run.row, t.run.fold): t.run for t in plan if t.test}.values())
    return plan


def _demand_instances(catalog: Catalog, runs: Iterable[Run]) -> None:
    """Refuse sets without instances before hours are trained for a mAP that has no value."""
    checked = set()
    for run in runs:
        where = catalog.where(run.row) + (f', fold {run.fold}' if run.fold else '')
        for cfg in catalog.test_configs(run).values():
            settings = repr(detection_metric(cfg, where))
            if settings in checked:  # rows share files
                continue
            try:
                build_metric(cfg, where).demand_instances('`test_evaluator`')
            except AnnotationError as error:
                raise StudyError(f'{where}: {error}') from error
            checked.add(settings)
