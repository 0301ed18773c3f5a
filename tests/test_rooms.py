"""Imports between folders of the package go the ways that CONTRIBUTING.md lists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmtad_decomp'


def allowed_imports():
    """Folders that a folder may import, from the table; None allows all."""
    allowed = {}
    for line in (ROOT / 'CONTRIBUTING.md').read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == 3 and cells[0].startswith('`'):
            names = set(re.findall(r'`(\w+)`', cells[2]))
            for room in re.findall(r'`(\w+)`', cells[0]):
                allowed[room] = None if 'all' in cells[2] else names
    return allowed


def imported_rooms(path):
    """Folders of the package that a file imports from, by absolute or relative imports."""
    own = ('mmtad_decomp', *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = tuple((node.module or '').split('.'))
            if node.level:
                module = own[: len(own) - node.level + 1] + module
            if module[0] == 'mmtad_decomp' and len(module) > 1:
                yield module[1]


def test_imports_follow_the_table():
    allowed, seen, wrong = allowed_imports(), set(), []
    for path in PACKAGE.rglob('*.py'):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in allowed or allowed[room] is None:
            continue
        for other in imported_rooms(path):
            seen.add((room, other))
            if other != room and other not in allowed[room]:
                wrong.append(f'{path.relative_to(ROOT)} imports {other}')
    assert wrong == []
    assert ('models', 'ops') in seen and ('evaluation', 'annotations') in seen


def test_every_folder_is_in_the_table():
    folders = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').exists()}
    assert folders == set(allowed_imports())
