"""Where the operators run: in plain PyTorch or compiled, on the CPU or a GPU."""

import contextlib
import shutil

import pytest
import torch

from mmtad_decomp.ops import DEVICES, plain_pytorch

COMPILED_DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']


def need_compiled(device: str) -> None:
    """Skip, with the reason, where the operators are not compiled for the device."""
    if device not in DEVICES:
        # A compiler without the operators means that the build is broken.
        assert device == 'cuda' or shutil.which('c++') is None, 'the operators are not built'
        pytest.skip(f'the operators are not compiled for {device}')


@pytest.fixture(params=['plain-cpu', *(f'compiled-{name}' for name in COMPILED_DEVICES)])
def device(request):
    """Device to put the operators' tensors on; the implementation is chosen too."""
    implementation, name = request.param.split('-')
    if implementation == 'compiled':
        need_compiled(name)
    with plain_pytorch() if implementation == 'plain' else contextlib.nullcontext():
        yield name


@pytest.fixture(params=COMPILED_DEVICES)
def compiled_device(request):
    """Device with compiled operators."""
    need_compiled(request.param)
    return request.param


@pytest.fixture(params=['default', 'avx2', 'avx512'])
def instructions(request, compiled_device):
    """Value of ATEN_CPU_CAPABILITY; torch takes it at its word, so the CPU must have them."""
    if compiled_device != 'cpu':
        pytest.skip('of the CPU')
    capability = torch.backends.cpu.get_cpu_capability()
    if request.param == 'avx512' and 'AVX512' not in capability:
        pytest.skip('this CPU has no AVX-512')
    if request.param == 'avx2' and 'AVX' not in capability:
        pytest.skip('this CPU has no AVX2')
    return request.param
