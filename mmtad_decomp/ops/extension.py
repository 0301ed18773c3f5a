"""The compiled operators: loading them, and what torch.compile has to know of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

_FILE = Path(__file__).resolve().parents[1] / '_ext.so'


def _load() -> frozenset[str]:
    """Load the extension; return the device types that it has kernels for."""
    mend = (
        'Plain PyTorch takes their place, several times slower. To build them, install a C++ '
        'compiler and run: MMTAD_WITH_OPS=1 pip install -e . --no-build-isolation --no-deps'
    )
    if not _FILE.exists():
        warnings.warn(f'The compiled operators of mmtad_decomp are not built. {mend}', stacklevel=2)
        return frozenset()
    try:
        torch.ops.load_library(_FILE)
    except OSError as error:  # Built for another version of torch, say.
        warnings.warn(
            f'The compiled operators of mmtad_decomp ({_FILE}) do not load: {error}. {mend}',
            stacklevel=2,
        )
        return frozenset()
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    name = 'mmtad_decomp::local_attention'
    return frozenset(key.lower() for key in ('CPU', 'CUDA') if has_kernel(name, key))


DEVICES = _load()
"""Device types with compiled kernels: empty, ``{'cpu'}`` or ``{'cpu', 'cuda'}``."""


def is_compiled_for(*tensors: Tensor) -> bool:
    """Whether the compiled operators take these tensors: floating point, on a built device."""
    return all(x.device.type in DEVICES and x.is_floating_point() for x in tensors)


def _register_fakes() -> None:
    @torch.library.register_fake('mmtad_decomp::local_attention')
    def _(query, key, value, mask, window):
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        return torch.empty_like(query), query.new_empty(query.shape[:3], dtype=dtype)

    @torch.library.register_fake('mmtad_decomp::local_attention_backward')
    def _(grad, query, key, value, mask, lse, window):
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)

    @torch.library.register_fake('mmtad_decomp::local_attentive_fusion')
    def _(value, query, key, mask, window, residual):
        return value.new_empty(value.shape)

    @torch.library.register_fake('mmtad_decomp::local_attentive_fusion_backward')
    def _(grad, value, query, key, mask, window, residual):
        return tuple(x.new_empty(x.shape) for x in (value, query, key))


if DEVICES:
    _register_fakes()
