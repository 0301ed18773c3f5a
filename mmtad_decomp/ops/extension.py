"""The compiled operators: loading them, and what torch.compile has to know of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

_FILE = Path(__file__).resolve().parents[1] / '_ext.so'


def _load() -> frozenset[str]:
    """Load the extension; return the device types that it has kernels for."""
    problem = 'are not built' if not _FILE.exists() else None
    if problem is None:
        try:
            torch.ops.load_library(_FILE)
        except OSError as error:  # Built for another version of torch, say.
            problem = f'({_FILE}) do not load: {error}'
    if problem is not None:
        warnings.warn(
            f'The compiled operators of mmtad_decomp {problem}. Plain PyTorch takes their place, '
            'several times slower. To build them, install a C++ compiler and run, in the '
            "project's folder: MMTAD_WITH_OPS=1 pip install -e . --no-build-isolation --no-deps",
            stacklevel=2,
        )
        return frozenset()
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    name = 'mmtad_decomp::local_attention'
    return frozenset(key.lower() for key in ('CPU', 'CUDA') if has_kernel(name, key))


DEVICES = _load()
"""Device types with compiled kernels: empty, ``{'cpu'}`` or ``{'cpu', 'cuda'}``."""


_enabled = True


def is_compiled_for(*tensors: Tensor) -> bool:
    """Whether the compiled operators take these tensors: floating point, on a built device."""
    return _enabled and all(x.device.type in DEVICES and x.is_floating_point() for x in tensors)


@contextmanager
def plain_pytorch() -> Iterator[None]:
    """Within this context, the operators compute in plain PyTorch, built or not.

    For gradients of gradients, which the compiled operators lack, and for comparisons.
    """
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def to_common_dtype(*tensors: Tensor) -> list[Tensor]:
    """Promote tensors, whose dtypes autocast may have made different, to one dtype."""
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    return [x.to(dtype) for x in tensors]


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
