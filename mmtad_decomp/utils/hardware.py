"""Abilities of the machine, and the precision that follows from them.

:func:`choose_precision` is the only place that decides between bfloat16, float16 and float32.
"""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from mmengine.logging import print_log

_CPUINFO = Path('/proc/cpuinfo')
# Units that compute in bfloat16: flag of torch and of /proc/cpuinfo, and the name for people.
# oneDNN also accepts bfloat16 on any AVX-512 processor, but emulates it without these.
_BFLOAT16_UNITS = {'amx_bf16': 'AMX', 'avx512_bf16': 'AVX512_BF16', 'bf16': 'Arm BF16'}
PRECISIONS = ('auto', 'bfloat16', 'float16', 'float32')
"""Values of a config."""


def _cpuinfo(key: str) -> str:
    """First value of a field of ``/proc/cpuinfo``, '' where there is none."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    fields = (line.partition(':') for line in lines)
    return next((value.strip() for name, _, value in fields if name.strip() == key), '')


@cache
def processor_name() -> str:
    """Model of the processor, or its architecture where the system does not tell."""
    return _cpuinfo('model name') or platform.processor() or platform.machine()


def usable_cores() -> list[int]:
    """Cores that this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def native_bfloat16() -> str | None:
    """Name of the CPU's unit that computes in bfloat16; None if bfloat16 would be emulated."""
    if hasattr(torch.cpu, 'get_capabilities'):  # since torch 2.10
        flags = {name for name, value in torch.cpu.get_capabilities().items() if value is True}
    else:
        flags = {*_cpuinfo('flags').split(), *_cpuinfo('Features').split()}
    return next((name for flag, name in _BFLOAT16_UNITS.items() if flag in flags), None)


def fast_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    """Data type in which a device computes a network fastest, and why.

    bfloat16 on a CPU that computes in it (AMX, AVX512_BF16, Arm BF16) and on a GPU from sm_80;
    float16 on an older GPU; float32 elsewhere.
    """
    if device.type == 'cpu':
        name, unit = processor_name(), native_bfloat16()
        if unit:
            return torch.bfloat16, f'{name} has {unit}'
        missing = ', '.join(_BFLOAT16_UNITS.values())
        return torch.float32, f'{name} would emulate bfloat16, it has none of {missing}'
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
        major, minor = torch.cuda.get_device_capability(device)
        if (major, minor) >= (8, 0) or torch.version.hip:
            return torch.bfloat16, f'{name} computes in bfloat16'
        return torch.float16, f'{name} is sm_{major}{minor}, bfloat16 needs sm_80'
    return torch.float32, f'no rule for devices of type {device.type}'


def half_dtype(device: torch.device) -> torch.dtype:
    """The 16-bit type for mixed precision, even where float32 is faster."""
    fast, _ = fast_dtype(device)
    return torch.bfloat16 if fast is torch.float32 else fast


@dataclass(frozen=True)
class Precision:
    """Precision of a forward pass.

    Attributes:
        dtype: The type that autocast computes in; float32 is no autocast.
        device_type: Kind of device.
        reason: Why, for people.
        slow: Whether another type is known to be faster.
    """

    dtype: torch.dtype
    device_type: str
    reason: str
    slow: bool = False

    @property
    def is_mixed(self) -> bool:
        """Whether autocast is on."""
        return self.dtype is not torch.float32

    def autocast(self) -> torch.autocast:
        """Context of the forward pass."""
        dtype = self.dtype if self.is_mixed else None
        return torch.autocast(self.device_type, dtype, enabled=self.is_mixed)

    def log(self, what: str) -> None:
        """Write one line, a warning where another precision would be faster."""
        name = str(self.dtype).removeprefix('torch.')
        level = logging.WARNING if self.slow else logging.INFO
        print_log(f'{what} in {name}: {self.reason}', logger='current', level=level)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """Decide on the precision of a forward pass.

    Args:
        wanted: ``'auto'`` for :func:`fast_dtype`, or a type, which is taken as it is.
        device: Where the model is.

    Raises:
        ValueError: If the name is unknown, or float16 is asked for on a CPU.
    """
    if wanted not in PRECISIONS:
        raise ValueError(f'dtype={wanted!r} is unknown; set one of {", ".join(PRECISIONS)}')
    fast, why = fast_dtype(device)
    if wanted == 'auto':
        return Precision(fast, device.type, f'auto, {why}')
    dtype = getattr(torch, wanted)
    if dtype is torch.float16 and device.type == 'cpu':
        raise ValueError(
            "dtype='float16' needs a GPU; on a CPU set 'bfloat16', 'float32' or 'auto'"
        )
    reason, slow = 'set in the config or by a flag', False
    if dtype is torch.bfloat16 and fast is not torch.bfloat16:
        reason += f'; this is slower than {str(fast).removeprefix("torch.")}, since {why}'
        slow = True
    return Precision(dtype, device.type, reason, slow)
