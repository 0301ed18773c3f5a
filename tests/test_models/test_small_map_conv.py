"""SmallMapConv2d against nn.Conv2d."""

import pytest
import torch
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule
from torch import nn

from mmtad_decomp.models.layers import SmallMapConv2d


def pair(dtype=torch.float64, **settings) -> tuple[SmallMapConv2d, nn.Conv2d]:
    ours = SmallMapConv2d(5, 7, **settings).to(dtype)
    plain = nn.Conv2d(5, 7, **settings).to(dtype)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def run(conv: nn.Module, x: torch.Tensor, weight: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    out = conv(x)
    (out.double() * weight).sum().backward()
    return [out, x.grad, *(p.grad for p in conv.parameters())]


@pytest.mark.parametrize('size', [(1, 1), (2, 2), (3, 3), (1, 3), (3, 2), (4, 4), (2, 9)])
@pytest.mark.parametrize(
    'settings',
    [
        dict(kernel_size=3, padding=1),
        dict(kernel_size=3, padding=1, stride=2, bias=False),
        dict(kernel_size=1),
        dict(kernel_size=1, stride=2),
        dict(kernel_size=(3, 1), padding=(1, 0)),
        dict(kernel_size=5, padding=2, stride=(1, 2)),
        dict(kernel_size=7, padding=3, stride=2),
        dict(kernel_size=3, padding='same'),
        dict(kernel_size=3, padding=2, dilation=2),
    ],
)
def test_equals_conv2d(size, settings):
    torch.manual_seed(0)
    ours, plain = pair(**settings)
    x = torch.randn(4, 5, *size, dtype=torch.float64)
    with torch.no_grad():
        weight = torch.randn_like(plain(x))
    for got, wanted in zip(run(ours, x, weight), run(plain, x, weight), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_gradient_is_right():
    conv = SmallMapConv2d(2, 3, 3, padding=1).double()
    x = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    # Sums are taken in float32, which bounds how fine the differences can be.
    assert torch.autograd.gradcheck(conv, (x,), eps=1e-2, atol=1e-3, nondet_tol=0)


def test_small_maps_go_the_quick_way(monkeypatch):
    conv = SmallMapConv2d(4, 4, 3, padding=1)
    called = []
    original = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, 'forward', lambda s, x: called.append(1) or original(s, x))
    conv(torch.randn(1, 4, 3, 3))
    assert not called
    conv(torch.randn(1, 4, 4, 3))
    assert called


def test_autocast_and_channels_last():
    torch.manual_seed(0)
    ours, plain = pair(torch.float32, kernel_size=3, padding=1)
    x = torch.randn(8, 5, 2, 2).contiguous(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16):
        got, wanted = ours(x), plain(x)
    assert got.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(got, wanted, rtol=2e-2, atol=2e-2)
    weight = torch.randn(8, 7, 2, 2)
    with torch.autocast('cpu', torch.bfloat16):
        grads = [run(conv, x, weight) for conv in (ours, plain)]
    for got, wanted in zip(*grads, strict=True):
        assert got.dtype == wanted.dtype
        torch.testing.assert_close(got, wanted, rtol=5e-2, atol=5e-2)


def test_from_a_config():
    block = ConvModule(4, 4, 3, conv_cfg=dict(type='mmaction.SmallMapConv2d'))
    assert isinstance(block.conv, SmallMapConv2d)
    backbone = MODELS.build(
        dict(
            type='ResNetTSM',
            depth=18,
            pretrained=None,
            pretrained2d=False,
            conv_cfg=dict(type='mmaction.SmallMapConv2d'),
        )
    )
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert convs and all(isinstance(m, SmallMapConv2d) for m in convs)
