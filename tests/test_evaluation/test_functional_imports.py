"""The functions on arrays can be read, and copied, without the rest of the package."""

import ast
import sys
from pathlib import Path

import pytest

from mmtad_decomp.evaluation import functional

MODULES = sorted(Path(functional.__file__).parent.glob('*.py'))


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.stem)
def test_functional_needs_nothing_but_numpy(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f'{path.name} imports from a folder above'
            names = [node.module] if node.level == 0 else []
        for name in names:
            root = name.split('.')[0]
            assert root == 'numpy' or root in sys.stdlib_module_names, f'{path.name}: {name}'
