"""Local attentive fusion against a loop in float64."""

import pytest
import torch

from mmtad_decomp.ops import local_attentive_fusion


def reference(value, query, key, mask, window, residual):
    value, query, key = (x.double() for x in (value, query, key))
    batch, _, steps = value.shape
    out = torch.zeros_like(value)
    for n in range(batch):
        for t in range(steps):
            if mask is not None and not mask[n, t]:
                continue
            seen = [
                j
                for j in range(steps)
                if (window is None or abs(t - j) <= window // 2) and (mask is None or mask[n, j])
            ]
            pooled = query[n][:, seen].mean(1)
            gate = torch.sigmoid(pooled * key[n, :, t])
            out[n, :, t] = value[n, :, t] * (gate + residual)
    return out


def make_mask(kind, steps):
    if kind == 'none':
        return None
    mask = torch.ones(2, steps, dtype=torch.bool)
    if kind == 'tail':
        mask[1, (steps + 1) // 2 :] = False
    elif kind == 'holes':
        mask[:, ::3] = False
    elif kind == 'all':
        mask[:] = False
    return mask


def make_inputs(steps, dtype=torch.float64):
    generator = torch.Generator().manual_seed(steps)
    return [torch.randn(2, 3, steps, generator=generator, dtype=dtype) for _ in 'vqk']


@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('kind', ['none', 'tail', 'holes', 'all'])
@pytest.mark.parametrize('window', [1, 5, 101, None])
@pytest.mark.parametrize('steps', [1, 2, 12, 33])
def test_matches_loop(steps, window, kind, residual):
    inputs, mask = make_inputs(steps), make_mask(kind, steps)
    out = local_attentive_fusion(*inputs, mask, window, residual)
    torch.testing.assert_close(out, reference(*inputs, mask, window, residual))


@pytest.mark.parametrize('window', [3, 51, None])
@pytest.mark.parametrize('kind', ['none', 'tail', 'holes'])
def test_gradient(kind, window):
    inputs = [x.requires_grad_(True) for x in make_inputs(7)]
    mask = make_mask(kind, 7)
    assert torch.autograd.gradcheck(
        lambda v, q, k: local_attentive_fusion(v, q, k, mask, window), inputs
    )


@pytest.mark.parametrize('window', [5, None])
def test_garbage_in_masked_steps_is_inert(window):
    inputs, mask = make_inputs(12), make_mask('tail', 12)
    dirty = [x.clone() for x in inputs]
    for x in dirty:
        x[1, :, 6:] = float('nan')
        x.requires_grad_(True)
    out = local_attentive_fusion(*dirty, mask, window)
    torch.testing.assert_close(out, local_attentive_fusion(*inputs, mask, window))
    out.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in dirty)


def test_offset_and_length_cost_no_precision():
    value, query, key = (x.float() for x in make_inputs(5000))
    query = query + 1000
    out = local_attentive_fusion(value, query, key * 1e-3, None, 9)
    generous = local_attentive_fusion(
        value.double(), query.double(), (key * 1e-3).double(), None, 9
    )
    torch.testing.assert_close(out.double(), generous, atol=1e-5, rtol=1e-5)


def test_under_bfloat16_autocast():
    inputs = [x.bfloat16() for x in make_inputs(33)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = local_attentive_fusion(*inputs, make_mask('tail', 33), 5)
    assert out.dtype == torch.bfloat16
    expected = reference(*inputs, make_mask('tail', 33), 5, True)
    torch.testing.assert_close(out.double(), expected, atol=0.02, rtol=0.02)


def test_bad_arguments():
    x = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match='odd'):
        local_attentive_fusion(x, x, x, None, 2)
    with pytest.raises(ValueError, match='query'):
        local_attentive_fusion(x, x[..., :3], x)
