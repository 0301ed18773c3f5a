"""Sliding-window attention against a loop in float64."""

import math

import pytest
import torch

from mmtad_decomp.ops import local_attention
from mmtad_decomp.ops.local_attention import _blocked_attention, _dense_attention


def reference(query, key, value, mask, window):
    query, key, value = (x.double() for x in (query, key, value))
    out = torch.zeros_like(value)
    batch, heads, steps, dims = query.shape
    for n in range(batch):
        for i in range(steps):
            if mask is not None and not mask[n, i]:
                continue
            seen = [
                j
                for j in range(steps)
                if (window is None or abs(i - j) <= window // 2) and (mask is None or mask[n, j])
            ]
            for h in range(heads):
                logits = key[n, h, seen] @ query[n, h, i] / math.sqrt(dims)
                out[n, h, i] = logits.softmax(0) @ value[n, h, seen]
    return out


def make_mask(kind, batch, steps):
    if kind == 'none':
        return None
    mask = torch.ones(batch, steps, dtype=torch.bool)
    if kind == 'tail':
        for n in range(batch):
            mask[n, steps - (n * steps) // 3 :] = False
    elif kind == 'holes':
        mask[:, 1::3] = False
        mask[0, steps // 2 : steps // 2 + 9] = False
    elif kind == 'all':
        mask[0] = False
    return mask


def make_inputs(batch, heads, steps, dims, dtype=torch.float32):
    generator = torch.Generator().manual_seed(steps)
    shape = (batch, heads, steps, dims)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in 'qkv']


@pytest.mark.parametrize('kind', ['none', 'tail', 'holes', 'all'])
@pytest.mark.parametrize('window', [1, 3, 19, 101, None])
@pytest.mark.parametrize('steps', [1, 2, 7, 40])
def test_matches_loop(steps, window, kind):
    inputs = make_inputs(2, 2, steps, 4)
    mask = make_mask(kind, 2, steps)
    out = local_attention(*inputs, mask, window)
    torch.testing.assert_close(out.double(), reference(*inputs, mask, window), atol=1e-5, rtol=0)


@pytest.mark.parametrize('kind', ['none', 'tail', 'holes', 'all'])
@pytest.mark.parametrize('steps, window', [(300, 19), (257, 5), (321, 63)])
def test_long_sequences_match_dense(steps, window, kind):
    inputs = make_inputs(2, 2, steps, 4, torch.float64)
    mask = make_mask(kind, 2, steps)
    expected = _dense_attention(*inputs, mask, window // 2)
    if mask is not None:
        expected = expected.masked_fill(~mask[:, None, :, None], 0)
    torch.testing.assert_close(local_attention(*inputs, mask, window), expected)


def test_blocks_match_loop_at_block_borders():
    for steps in (31, 32, 33, 64, 65):
        inputs = make_inputs(1, 1, steps, 4, torch.float64)
        out = _blocked_attention(*inputs, None, 4)
        torch.testing.assert_close(out, reference(*inputs, None, 9))


@pytest.mark.parametrize('steps', [6, 260])
def test_garbage_in_masked_steps_is_inert(steps):
    inputs = make_inputs(1, 2, steps, 4)
    mask = torch.ones(1, steps, dtype=torch.bool)
    mask[:, 4:] = False
    dirty = [x.clone() for x in inputs]
    for x in dirty:
        x[:, :, 4:] = float('nan')
        x.requires_grad_(True)
    out = local_attention(*dirty, mask, 5)
    torch.testing.assert_close(out, local_attention(*inputs, mask, 5))
    out.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in dirty)
    assert all((x.grad[:, :, 4:] == 0).all() for x in dirty)


@pytest.mark.parametrize('blocked', [False, True])
@pytest.mark.parametrize('kind', ['none', 'tail', 'holes'])
def test_gradient(kind, blocked):
    inputs = [x.requires_grad_(True) for x in make_inputs(2, 1, 9, 3, torch.float64)]
    mask = make_mask(kind, 2, 9)
    if blocked:
        assert torch.autograd.gradcheck(
            lambda q, k, v: _blocked_attention(q, k, v, mask, 2), inputs
        )
    else:
        assert torch.autograd.gradcheck(lambda q, k, v: local_attention(q, k, v, mask, 5), inputs)


def test_bfloat16():
    inputs = make_inputs(2, 2, 300, 8)
    mask = make_mask('tail', 2, 300)
    out = local_attention(*(x.bfloat16() for x in inputs), mask, 19)
    assert out.dtype == torch.bfloat16
    expected = local_attention(*inputs, mask, 19)
    torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


def test_bad_arguments():
    query = torch.zeros(1, 2, 4, 3)
    with pytest.raises(ValueError, match='odd'):
        local_attention(query, query, query, None, 4)
    with pytest.raises(ValueError, match='key'):
        local_attention(query, query[:, :1], query, None, 3)
    with pytest.raises(TypeError, match='bool'):
        local_attention(query, query, query, torch.ones(1, 4), 3)
    with pytest.raises(ValueError, match='mask'):
        local_attention(query, query, query, torch.ones(1, 5, dtype=torch.bool), 3)
