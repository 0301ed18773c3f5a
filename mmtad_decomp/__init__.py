"""Decomposed cross-modal distillation for RGB-based temporal action detection.

Importing the package checks versions, patches the installed stack (:mod:`mmtad_decomp.compat`)
and registers every module in MMAction2's registries, so
``custom_imports = dict(imports=['mmtad_decomp'])`` is all a config needs.
"""

from . import compat

compat.check_versions()
compat.apply()

from . import (  # noqa: E402
    apis,  # on top of the others
    datasets,
    engine,
    evaluation,
    models,
    postprocessing,
    visualization,
)
from .version import __version__  # noqa: E402

__all__ = [
    '__version__',
    'apis',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'postprocessing',
    'visualization',
]
