"""Missing runs, in the order to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .catalog import Catalog, Run
from .results import Results


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
    return [Task(run, needed[run]) for run in catalog.runs() if run in needed]
