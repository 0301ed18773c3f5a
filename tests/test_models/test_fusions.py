"""All six fusions against plain float64 loops, their masks and gradients."""

import math

import pytest
import torch
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401

WIDTH, HEADS = 8, 2
CASES = [
    ('ConcatFusion', {}),
    ('SumFusion', {}),
    ('DiffAttentionFusion', {}),
    *[(f'{name}AttentionFusion', dict(num_heads=HEADS, window=w))
      for name in ('Self', 'Cross') for w in (None, 3)],
    *[('LocalAttentiveFusion', dict(window=w, residual=r))
      for w in (None, 1, 3, 5) for r in (True, False)],
]  # fmt: skip
IDS = [f'{name}-{"-".join(str(v) for v in options.values())}' for name, options in CASES]


def build(name, options, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(dict(type=name, channels=WIDTH, **options))


def branches(steps=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, WIDTH, steps, generator=generator).unbind()


def some_valid(steps=9):
    masks = torch.ones(2, steps, dtype=torch.bool)
    masks[1, 6:] = False
    return masks


def linear(conv, x):
    """A 1x1 convolution at one step, in float64."""
    return conv.weight.double()[:, :, 0] @ x + conv.bias.double()


def neighbours(t, valid, window):
    return [j for j in valid if window is None or abs(j - t) <= window // 2]


def attend(layer, target, reference, t, valid):
    """Multi-head attention of one step, with its residual."""
    query = linear(layer.query, target[:, t]).view(HEADS, -1)
    outputs = []
    near = neighbours(t, valid, layer.window)
    keys = [linear(layer.key, reference[:, j]).view(HEADS, -1) for j in near]
    values = [linear(layer.value, reference[:, j]).view(HEADS, -1) for j in near]
    for head in range(HEADS):
        scores = [float(query[head] @ key[head]) / math.sqrt(WIDTH // HEADS) for key in keys]
        total = sum(math.exp(s) for s in scores)
        outputs.append(sum(math.exp(s) / total * v[head] for s, v in zip(scores, values)))
    return target[:, t] + linear(layer.out, torch.cat(outputs))


def gate(query, key, own, other, t, valid, fusion):
    """The paper's gate of one step."""
    near = neighbours(t, valid, fusion.window)
    pooled = linear(query, sum(own[:, j] for j in near) / len(near))
    omega = torch.sigmoid(pooled * linear(key, other[:, t]))
    return own[:, t] * omega + (own[:, t] if fusion.residual else 0)


def enhanced(name, fusion, a, m, t, valid):
    if name == 'SelfAttentionFusion':
        return (
            attend(fusion.appearance_attention, a, a, t, valid),
            attend(fusion.motion_attention, m, m, t, valid),
        )
    if name == 'CrossAttentionFusion':
        return (
            attend(fusion.appearance_attention, a, m, t, valid),
            attend(fusion.motion_attention, m, a, t, valid),
        )
    if name == 'DiffAttentionFusion':
        mean = sum(m[:, j] - a[:, j] for j in valid) / len(valid)
        exchange = torch.tanh(mean) * (m[:, t] - a[:, t])
        return a[:, t] + exchange, m[:, t] - exchange
    if name == 'LocalAttentiveFusion':
        return (
            gate(fusion.appearance_query, fusion.appearance_key, a, m, t, valid, fusion),
            gate(fusion.motion_query, fusion.motion_key, m, a, t, valid, fusion),
        )
    return a[:, t], m[:, t]


@torch.no_grad()
def reference(name, fusion, appearance, motion, masks):
    """The fusion, step by step in float64."""
    out = torch.zeros(appearance.shape, dtype=torch.float64)
    for n, mask in enumerate(masks):
        a, m = appearance[n].double(), motion[n].double()
        valid = mask.nonzero()[:, 0].tolist()
        for t in valid:
            pair = enhanced(name, fusion, a, m, t, valid)
            out[n, :, t] = (
                sum(pair) if name == 'SumFusion' else linear(fusion.merge, torch.cat(pair))
            )
    return out


@pytest.mark.parametrize('steps', [9, 1])
@pytest.mark.parametrize('name, options', CASES, ids=IDS)
def test_equals_the_plain_reference(name, options, steps):
    fusion = build(name, options)
    appearance, motion = branches(steps)
    for masks in (torch.ones(2, steps, dtype=torch.bool), some_valid(steps)):
        if not masks.any(dim=1).all():
            continue
        actual = fusion(appearance, motion, masks)
        expected = reference(name, fusion, appearance, motion, masks)
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name, options', CASES, ids=IDS)
def test_padding_never_leaks(name, options):
    fusion = build(name, options)
    appearance, motion = branches()
    masks = some_valid()
    expected = fusion(appearance, motion, masks)
    assert not expected.transpose(1, 2)[~masks].any()
    for filling in (1e6, float('nan')):
        padded = [x.masked_fill(~masks[:, None], filling) for x in (appearance, motion)]
        torch.testing.assert_close(fusion(*padded, masks), expected, rtol=0, atol=0)
    alone = fusion(appearance[1:, :, :6], motion[1:, :, :6], masks[1:, :6])
    torch.testing.assert_close(expected[1:, :, :6], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name, options', CASES, ids=IDS)
def test_gradients_are_finite_and_reach_both_branches(name, options):
    fusion = build(name, options)
    appearance, motion = (x.requires_grad_() for x in branches())
    masks = some_valid()
    masks[0] = False  # a sample without a valid step
    fusion(appearance, motion, masks).square().sum().backward()
    for x in (appearance, motion):
        assert torch.isfinite(x.grad).all()
        assert x.grad[1, :, :6].any()
        assert not x.grad[1, :, 6:].any()
    assert all(torch.isfinite(p.grad).all() for p in fusion.parameters())


@pytest.mark.parametrize('name, options', CASES, ids=IDS)
def test_bfloat16_autocast_is_close(name, options):
    fusion = build(name, options)
    appearance, motion = branches()
    expected = fusion(appearance, motion, some_valid())
    with torch.autocast('cpu', torch.bfloat16):
        actual = fusion(appearance, motion, some_valid())
    torch.testing.assert_close(actual.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('name', ['SelfAttentionFusion', 'CrossAttentionFusion'])
def test_width_and_heads_must_fit(name):
    with pytest.raises(ValueError, match=r'channels \(8\) must be a multiple of num_heads'):
        build(name, dict(num_heads=3))


@pytest.mark.parametrize(
    'name', ['SelfAttentionFusion', 'CrossAttentionFusion', 'LocalAttentiveFusion']
)
def test_an_even_window_is_refused(name):
    with pytest.raises(ValueError, match='odd'):
        build(name, dict(window=4))(*branches(), some_valid())
