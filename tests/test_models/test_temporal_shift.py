"""The temporal shift in one pass against MMAction2's."""

import pytest
import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift

from mmtad_decomp.models.backbones.temporal_shift import temporal_shift, temporal_shifts


def maps(shape, channels_last, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def shifted(x, steps, fold, direction):
    """The shift frame by frame; with -1 its transpose, which the gradient is."""
    out = x.clone().view(-1, steps, *x.shape[1:])
    source = x.view_as(out)
    for t in range(steps):
        for channels, of in (
            (slice(fold), t + direction),
            (slice(fold, 2 * fold), t - direction),
        ):
            inside = 0 <= of < steps
            out[:, t, channels] = source[:, of, channels] if inside else 0
    return out.view_as(x)


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('steps', [1, 2, 5])
@pytest.mark.parametrize('channels', [8, 11, 16])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_same_values_and_gradients(channels_last, steps, channels, dtype):
    x = maps((2 * steps, channels, 3, 4), channels_last, dtype).requires_grad_()
    weights = maps(x.shape, False, dtype)
    results = []
    for shift in (TemporalShift.shift, temporal_shift):
        out = shift(x, steps, shift_div=8)
        (grad,) = torch.autograd.grad((out * weights).sum(), x)
        results.append((out, grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[1][0].stride() == x.stride()
    # MMAction2 makes its zeros as x - x, whose two gradients cancel but for rounding.
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(results[1][1], results[0][1], atol=tolerance, rtol=tolerance)
    assert torch.equal(results[1][1], shifted(weights, steps, channels // 8, -1))


def test_the_input_stays_and_gradients_of_gradients_exist():
    x = maps((6, 8, 2, 2), True, torch.float64).requires_grad_()
    before = x.detach().clone()
    temporal_shift(x, 3, 4)
    assert torch.equal(x, before)
    assert torch.autograd.gradcheck(lambda y: temporal_shift(y, 3, 4), x)
    assert torch.autograd.gradgradcheck(lambda y: temporal_shift(y, 3, 4), x)


def test_compiled_and_traced_it_is_the_reference():
    module = TemporalShift(torch.nn.Identity(), 3, 8)
    assert temporal_shifts(torch.nn.Sequential(module)) == [module]
    x = maps((6, 8, 2, 3), False)
    expected = module(x)
    assert torch.equal(expected, TemporalShift.shift(x, 3, 8))
    assert torch.equal(torch.jit.trace(module, x)(x), expected)
    exported = torch.export.export(module, (x,))
    assert torch.equal(exported.module()(x), expected)
