"""Detectors with the compiled operators and in plain PyTorch: the same outputs and gradients."""

import contextlib

import pytest
import torch
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.ops import DEVICES, plain_pytorch

pytestmark = pytest.mark.skipif('cpu' not in DEVICES, reason='the operators are not built')


def batch():
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(2, 16, 96, generator=generator)
    masks = torch.ones(2, 96, dtype=torch.bool)
    masks[1, 70:] = False
    return feats, masks


def flat(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs] if outputs.is_floating_point() else []
    return [x for part in outputs for x in flat(part)]


def both(module, *inputs):
    """Outputs, then the parameters' gradients, of either implementation."""
    results = []
    for implementation in (contextlib.nullcontext, plain_pytorch):
        module.zero_grad()
        with implementation():
            outputs = flat(module(*inputs))
        sum(x.square().mean() for x in outputs).backward()
        grads = [p.grad.clone() for p in module.parameters() if p.grad is not None]
        results.append([x.detach() for x in outputs] + grads)
    return results


def test_actionformer():
    torch.manual_seed(0)
    module = MODELS.build(
        dict(
            type='ActionFormerHead',
            num_classes=4,
            in_channels=16,
            num_levels=3,
            encoder=dict(embed_dims=32, window_size=5, num_embed_layers=1, num_stem_layers=1),
        )
    ).eval()
    compiled, plain = both(module, *batch())
    assert len(compiled) == len(plain) > 50
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    'name, settings',
    [
        ('LocalAttentiveFusion', dict(window=None)),
        ('LocalAttentiveFusion', dict(window=9)),
        ('CrossAttentionFusion', dict(window=9)),
        ('SelfAttentionFusion', dict(window=9)),
    ],
)
def test_fusions(name, settings):
    torch.manual_seed(0)
    module = MODELS.build(dict(type=name, channels=16, **settings)).eval()
    feats, masks = batch()
    compiled, plain = both(module, feats, feats.flip(1), masks)
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=1e-4)
