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
