"""Evaluation: functions on arrays (`functional`) and registered metrics (`metrics`)."""

from .metrics import TADMetric

__all__ = ['TADMetric']
