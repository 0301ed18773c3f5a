"""Modules of the package in other processes, without the seconds that all of it takes."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def without_init(*packages):
    """Code after which modules of these packages are imported without the packages' own."""
    return (
        'import sys, types\n'
        f'for name in {packages}:\n'
        '    sys.modules[name] = types.ModuleType(name)\n'
        f'    sys.modules[name].__path__ = [{str(ROOT)!r} + "/" + name.replace(".", "/")]\n'
    )
