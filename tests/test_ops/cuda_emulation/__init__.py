"""The CUDA kernels compiled for the CPU: how cases get in, and results out."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[2] / 'mmtad_decomp' / 'ops' / 'csrc' / 'cuda'
TORCH_HEADERS = Path(torch.__file__).parent / 'include'

_DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
_OPS = ['attention', 'attention_backward', 'fusion', 'fusion_backward']


def compile_emulation(target: Path, *flags: str) -> None:
    """Compile the kernels for the CPU; ``target`` becomes a program."""
    command = ['g++', '-std=c++17', '-O1', '-fno-strict-aliasing', '-Wno-unknown-pragmas']
    command += [*flags, f'-I{HERE}', f'-I{KERNELS}', f'-I{TORCH_HEADERS}']
    command += [str(HERE / 'emulate.cpp'), '-o', str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def has_compiler() -> bool:
    """Whether g++ is there."""
    return shutil.which('g++') is not None


@dataclass
class Case:
    """One call of an op's kernels: what they read, and tensors like what they write."""

    op: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    mask: Tensor | None
    window: int | None
    residual: bool = True
    shared_limit: int = 227 * 1024
    orders: int = 2
    needs: tuple[bool, bool, bool] = (True, True, True)
    tensor_cores: bool = False

    def encode(self) -> bytes:
        """The case as the program reads it."""
        # The first output has the shape and dtype of the queries.
        main = self.outputs[0]
        batch, heads, steps = main.shape[0], main.shape[1], main.shape[2]
        dims = main.shape[3] if main.ndim == 4 else 0
        window = -1 if self.window is None else self.window
        header = [
            _OPS.index(self.op),
            _DTYPES.index(main.dtype),
            batch,
            heads,
            steps,
            dims,
            window,
        ]
        header += [int(self.residual), int(self.mask is not None), self.shared_limit, self.orders]
        header += [sum(1 << i for i, needed in enumerate(self.needs) if needed)]
        header += [int(self.tensor_cores)]
        parts = [struct.pack('<15q', *header, len(self.inputs), len(self.outputs))]
        if self.mask is not None:
            parts.append(_raw(self.mask.contiguous().reshape(-1)))
        parts += [_layout(x) + _raw(_memory(x)) for x in self.inputs]
        parts += [_layout(x) for x in self.outputs]
        return b''.join(parts)


def _memory(x: Tensor) -> Tensor:
    """From the start of the tensor's storage to its last element, as one vector."""
    last = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))
    return x.as_strided((x.storage_offset() + last + 1,), (1,), 0)


def _raw(x: Tensor) -> bytes:
    return x.detach().view(torch.uint8).numpy().tobytes()


def _layout(x: Tensor) -> bytes:
    strides = (*x.stride(), 0)[:4]
    size = _memory(x).numel() * x.element_size()
    return struct.pack('<6q', *strides, x.storage_offset(), size)


def run_cases(program: Path, folder: Path, cases: list[Case]) -> list[list[Tensor]]:
    """Run cases; return each one's outputs. Fails where the program finds an error."""
    source, target = folder / 'cases.bin', folder / 'results.bin'
    source.write_bytes(b''.join(case.encode() for case in cases))
    done = subprocess.run([program, source, target], capture_output=True, text=True)
    assert done.returncode == 0, f'{done.returncode}: {done.stderr[-4000:]}'
    data = target.read_bytes()
    results = []
    for case in cases:
        outputs = []
        for like in case.outputs:
            memory = _memory(like)
            size = memory.numel() * memory.element_size()
            values = torch.frombuffer(bytearray(data[:size]), dtype=like.dtype)
            outputs.append(values.as_strided(like.shape, like.stride(), like.storage_offset()))
            data = data[size:]
        results.append(outputs)
    assert not data
    return results
