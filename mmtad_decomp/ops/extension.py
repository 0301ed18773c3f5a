"""The compiled operators: loading them, and what torch.compile has to know of them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
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


MIN_CAPABILITY = (8, 0)
"""The CUDA kernels need what GPUs of compute capability 8.0 (sm_80) have."""


def is_compiled_for(*tensors: Tensor) -> bool:
    """Whether the compiled operators take them: floating point, on a device with kernels."""
    if not _enabled:
        return False
    for x in tensors:
        if x.device.type not in DEVICES or not x.is_floating_point():
            return False
    return not tensors[0].is_cuda or gpu_has_kernels(tensors[0].device.index)


def _constant_in_graphs(function: Callable) -> Callable:
    """``torch.compiler.assume_constant_result``, without its import of the compiler, a second."""
    vars(function)['_dynamo_marked_constant'] = True
    return function


@_constant_in_graphs
def gpu_has_kernels(index: int) -> bool:
    """Whether the CUDA kernels run on a GPU; warns once where they do not."""
    return _gpu_has_kernels(index)


@functools.cache
def _gpu_has_kernels(index: int) -> bool:
    capability = torch.cuda.get_device_capability(index)
    if capability >= MIN_CAPABILITY:
        return True
    needed, found = ('.'.join(map(str, pair)) for pair in (MIN_CAPABILITY, capability))
    _warn_once(f'need a GPU of compute capability {needed} or higher; GPU {index} has {found}')
    return False


@_constant_in_graphs
def warn_of_plain_pytorch(reason: str) -> None:
    """Warn, once for each reason, that the compiled operators are not used."""
    _warn_once(reason)


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f'The compiled operators of mmtad_decomp {reason}. Plain PyTorch takes their place, '
        'several times slower.',
        stacklevel=2,
    )


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
    if all(x.dtype == dtype for x in tensors):
        return list(tensors)  # Conversions cost time, even to the same dtype.
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    return [x.to(dtype) for x in tensors]


def _register_fakes() -> None:
    @torch.library.register_fake('mmtad_decomp::local_attention')
    def _(query, key, value, mask, window):  # type: ignore[no-untyped-def]
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        return torch.empty_like(query), query.new_empty(query.shape[:3], dtype=dtype)

    @torch.library.register_fake('mmtad_decomp::local_attention_backward')
    def _(grad, query, key, value, mask, lse, window, needs):  # type: ignore[no-untyped-def]
        return tuple(
            torch.empty_like(x) if needed else x.new_empty(0)
            for x, needed in zip((query, key, value), needs)
        )

    @torch.library.register_fake('mmtad_decomp::local_attentive_fusion')
    def _(value, query, key, mask, window, residual):  # type: ignore[no-untyped-def]
        return value.new_empty(value.shape)

    @torch.library.register_fake('mmtad_decomp::local_attentive_fusion_backward')
    def _(grad, value, query, key, mask, window, residual, needs):  # type: ignore[no-untyped-def]
        return tuple(value.new_empty(value.shape if needed else 0) for needed in needs)


if DEVICES:
    _register_fakes()
