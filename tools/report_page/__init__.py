"""One HTML file about a run, or about two compared."""

from .page import write_page
from .runs import ReportError, Run, load_run, load_runs

__all__ = ['ReportError', 'Run', 'load_run', 'load_runs', 'write_page']
