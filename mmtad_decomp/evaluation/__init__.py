"""Evaluation: functions on arrays (`functional`) and registered metrics (`metrics`)."""

from .annotation_tables import ground_truth_table, prediction_table
from .metrics import ProposalMetric, TADMetric
from .oddities import Oddities, find_oddities
from .submission import (
    Submission,
    SubmissionError,
    load_submission,
    read_submission,
    write_submission,
)

__all__ = [
    'Oddities',
    'ProposalMetric',
    'Submission',
    'SubmissionError',
    'TADMetric',
    'find_oddities',
    'ground_truth_table',
    'load_submission',
    'prediction_table',
    'read_submission',
    'write_submission',
]
