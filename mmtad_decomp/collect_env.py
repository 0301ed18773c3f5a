"""The environment for an issue: python -m mmtad_decomp.collect_env."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from mmengine.utils.dl_utils import collect_env as collect_base_env

from .ops import DEVICES
from .utils import processor_name
from .version import __version__


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'


def collect_env() -> dict[str, str]:
    """MMEngine's environment (Python, compiler, PyTorch, CUDA) with the parts of this package.

    Returns:
        Values by name: versions of MMCV, MMAction2 and this package, the processor, and the
        device types that the compiled operators have kernels for.
    """
    env = {name: str(value) for name, value in collect_base_env().items()}
    env.pop('numpy_random_seed', None)
    for name in ('mmcv', 'mmcv-lite', 'mmaction2'):
        env[name] = _version(name)
    env['mmtad_decomp'] = f'{__version__} ({Path(__file__).parent})'
    env['Processor'] = processor_name()
    env['Compiled operators'] = ', '.join(sorted(DEVICES)) or 'not built'
    return env


if __name__ == '__main__':
    for name, value in collect_env().items():
        print(f'{name}: {value}')
