"""Evaluation: functions on arrays (`functional`) and registered metrics (`metrics`)."""

from .metrics import TADMetric
from .submission import SubmissionError, load_submission, write_submission

__all__ = ['SubmissionError', 'TADMetric', 'load_submission', 'write_submission']
