"""Modules of the package that need none of its others, without importing it: that takes seconds.

Each has its own name, so it stays the only one of its kind when the package is imported later.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = 'mmtad_decomp'


def _load(name: str) -> ModuleType:
    name = f'{PACKAGE}.{name}'
    if name in sys.modules or PACKAGE in sys.modules:
        return importlib.import_module(name)
    package = importlib.util.find_spec(PACKAGE)
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent.joinpath(*name.split('.')[1:]).with_suffix('.py')
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# In this order: those below import those above.
patches = _load('compat.patches')
_load('utils.json_keys')
_load('utils.source_index')
_load('utils.value_check')
config_check = _load('utils.config_check')
annotation_content = _load('annotations.content')
