"""Metrics that MMEngine's evaluator builds from configs."""

from .tad_metric import TADMetric

__all__ = ['TADMetric']
