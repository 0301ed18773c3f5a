"""The package patches the stack, so it is imported before anything of MMAction2's models."""

import mmtad_decomp  # noqa: F401
