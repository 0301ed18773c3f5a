"""Checks of the versions of torch, MMEngine, MMCV and MMAction2."""

from __future__ import annotations

import importlib.metadata

from packaging.specifiers import SpecifierSet

REQUIRED_VERSIONS = {
    'torch': '>=2.6',
    'mmengine': '>=0.10,<1.0',
    'mmcv': '>=2.0.0,<2.2.0',
    'mmaction2': '>=1.2.0,<1.3',
}
"""Versions the package works with, by name of the distribution."""

_MMCV_DISTRIBUTIONS = ('mmcv', 'mmcv-lite', 'mmcv-full')


def check_versions() -> None:
    """Check that torch, MMEngine, MMCV and MMAction2 are installed in versions that work.

    Raises:
        RuntimeError: If one is missing or of a version outside :data:`REQUIRED_VERSIONS`, or if
            several distributions of MMCV are installed. The message has the pip command that
            fixes it. (Not an ``ImportError``, whose message MMEngine's ``custom_imports`` drops.)
    """
    for name, wanted in REQUIRED_VERSIONS.items():
        distribution = _installed_mmcv() if name == 'mmcv' else name
        command = _install_command(distribution, wanted)
        try:
            installed = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise RuntimeError(
                f'{distribution} is not installed, and mmtad_decomp needs {distribution} '
                f'{wanted}. Install it: {command}'
            ) from None
        if not SpecifierSet(wanted).contains(installed, prereleases=True):
            raise RuntimeError(
                f'{distribution} {installed} is installed, but mmtad_decomp needs '
                f'{distribution} {wanted}. Install one that fits: {command}'
            )


def _install_command(distribution: str, wanted: str) -> str:
    """Return the command that installs a version of a distribution that satisfies ``wanted``."""
    if distribution in ('mmcv', 'mmcv-full'):  # A plain pip install of these does not build.
        return f'pip uninstall -y {distribution} && pip install "mmcv-lite{wanted}"'
    return f'pip install "{distribution}{wanted}"'


def _installed_mmcv() -> str:
    """Return the name of the installed MMCV distribution, ``mmcv-lite`` where there is none."""
    found = {}
    for name in _MMCV_DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(found) > 1:
        wanted = REQUIRED_VERSIONS['mmcv']
        raise RuntimeError(
            f'{" and ".join(f"{name} {version}" for name, version in found.items())} are '
            'installed, but all of them own the Python package `mmcv` and overwrite each other. '
            f'Keep one: pip uninstall -y {" ".join(found)} && pip install "mmcv-lite{wanted}"'
        )
    return next(iter(found), 'mmcv-lite')
