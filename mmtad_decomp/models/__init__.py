"""Models: encoders, necks, fusions, heads, detectors, distillers and their losses."""

from . import (
    backbones,
    data_preprocessors,
    detectors,
    distillers,
    fusions,
    heads,
    losses,
    necks,
    task_modules,
)

__all__ = [
    'backbones',
    'data_preprocessors',
    'detectors',
    'distillers',
    'fusions',
    'heads',
    'losses',
    'necks',
    'task_modules',
]
