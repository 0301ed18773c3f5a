"""Repeating trainings over seeds and comparing them: plan, runs, results, report."""

from .catalog import Catalog, Run
from .definition import Row, Study, StudyError, load_study
from .execution import Execution
from .planning import Task, make_plan
from .results import Results

__all__ = [
    'Catalog',
    'Execution',
    'Results',
    'Row',
    'Run',
    'Study',
    'StudyError',
    'Task',
    'load_study',
    'make_plan',
]
