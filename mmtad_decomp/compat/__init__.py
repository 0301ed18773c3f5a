"""Version checks, and patches for MMEngine 0.10, MMCV 2.1 and MMAction2 1.2.

``mmtad_decomp/__init__.py`` calls :func:`check_versions` and then :func:`apply` before anything of
MMAction2 is imported.
"""

from .patches import apply
from .versions import REQUIRED_VERSIONS, check_versions

__all__ = ['REQUIRED_VERSIONS', 'apply', 'check_versions']
