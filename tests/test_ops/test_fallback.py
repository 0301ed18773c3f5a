"""Where a GPU or a head is not one for the CUDA kernels, plain PyTorch takes their place.

Fake tensors stand for those of a GPU; the compiled operators would fail on them here.
"""

import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmtad_decomp.ops import extension, local_attention, local_attentive_fusion


def forget():
    extension._gpu_has_kernels.cache_clear()
    extension._warn_once.cache_clear()


@pytest.fixture
def gpu(monkeypatch):
    """Pose as a machine with a GPU and CUDA kernels; a call sets the GPU's capability."""
    monkeypatch.setattr(extension, 'DEVICES', frozenset({'cpu', 'cuda'}))
    forget()
    yield lambda capability: monkeypatch.setattr(
        torch.cuda, 'get_device_capability', lambda index=None: capability
    )
    forget()


@pytest.fixture
def plain_calls(monkeypatch):
    """Names of the operators that went on in plain PyTorch."""
    calls = []
    for op in (local_attention, local_attentive_fusion):
        name, module = op.__name__, sys.modules[op.__module__]
        monkeypatch.setattr(
            module, f'_plain_{name}', lambda x, *args, name=name: calls.append(name) or x
        )
    return calls


def test_old_gpu_warns_once(gpu, plain_calls):
    gpu((7, 5))
    with FakeTensorMode():
        x, y = (torch.empty(size, device='cuda') for size in ((1, 2, 40, 16), (1, 2, 40)))
        with pytest.warns(UserWarning, match=r'8\.0 or higher; GPU 0 has 7\.5') as record:
            for _ in range(2):
                local_attention(x, x, x, None, 5)
                local_attentive_fusion(y, y, y, None, 5)
    assert len(record) == 1
    assert plain_calls == ['local_attention', 'local_attentive_fusion'] * 2


def test_wide_heads_warn_once(gpu, plain_calls):
    gpu((9, 0))
    with FakeTensorMode():
        x = torch.empty(1, 2, 40, 257, device='cuda')
        with pytest.warns(UserWarning, match='at most 256 channels') as record:
            for _ in range(2):
                local_attention(x, x, x, None, 5)
    assert len(record) == 1
    assert plain_calls == ['local_attention'] * 2


def test_new_gpu_has_kernels(gpu, recwarn):
    gpu((12, 0))
    with FakeTensorMode():
        assert extension.is_compiled_for(torch.empty(2, device='cuda'))
        assert not extension.is_compiled_for(torch.empty(2, device='cuda', dtype=torch.int64))
    assert not recwarn.list


def test_choice_does_not_break_a_graph(gpu):
    gpu((7, 5))

    def model(x):
        extension.warn_of_plain_pytorch('are tested')
        return x + 1 if extension.gpu_has_kernels(0) else x - 1

    with pytest.warns(UserWarning, match='capability'):
        out = torch.compile(model, backend='eager', fullgraph=True)(torch.zeros(2))
    assert out.tolist() == [-1, -1]
