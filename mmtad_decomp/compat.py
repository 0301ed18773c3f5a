"""Mends that let MMEngine 0.10, MMCV 2.1 and MMAction2 1.2 run on today's Python stack.

Each function mends one thing, does nothing where the thing is not broken, and may run twice.
``mmtad_decomp/__init__.py`` calls :func:`apply` before anything of MMAction2 is imported.
"""

import importlib.util
import sys
import types

import numpy as np


def _alias_removed_numpy_names() -> None:
    """NumPy 2 removed names that MMAction2's evaluators and transforms still use."""
    for old, new in (
        ('trapz', 'trapezoid'),
        ('Inf', 'inf'),
        ('NAN', 'nan'),
        ('in1d', 'isin'),
    ):
        if old not in np.__dict__:
            setattr(np, old, getattr(np, new))


def _provide_missing_drn() -> None:
    """MMAction2's wheel imports ``localizers.drn`` but does not ship it."""
    name = 'mmaction.models.localizers.drn'
    if f'{name}.drn' in sys.modules:
        return
    spec = importlib.util.find_spec('mmaction')
    if spec is None or not spec.submodule_search_locations:
        return
    root = spec.submodule_search_locations[0]
    if importlib.machinery.PathFinder.find_spec('drn', [f'{root}/models/localizers']):
        return

    class DRN:
        """Stands in for MMAction2's DRN, which its wheel does not contain."""

        def __init__(self, *args, **kwargs):
            raise ImportError('DRN is not part of the installed mmaction2 wheel')

    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__ = []
    package.drn, module.DRN = module, DRN
    sys.modules[name], sys.modules[f'{name}.drn'] = package, module


def _disable_multimodal_models() -> None:
    """MMAction2's multimodal models need ``timm`` whenever ``transformers`` is installed."""
    if importlib.util.find_spec('timm') is None:
        import mmaction.utils.dependency as dependency

        dependency.WITH_MULTIMODAL = False


def apply() -> None:
    """Apply every mend."""
    _alias_removed_numpy_names()
    _provide_missing_drn()
    _disable_multimodal_models()
