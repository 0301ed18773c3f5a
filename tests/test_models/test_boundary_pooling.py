"""Boundary pooling against loops, and its gradient."""

import pytest
import torch
from boundary_reference import reference

from mmtad_decomp.models.layers import boundary_max_pool, boundary_windows, window_max


def case(steps, lengths, points=9, channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(lengths), channels, steps, generator=generator, dtype=torch.float64)
    centre = torch.rand(len(lengths), points, 1, generator=generator) * steps
    reach = torch.rand(len(lengths), points, 2, generator=generator) * steps * 0.8
    segments = torch.cat((centre - reach[..., :1], centre + reach[..., 1:]), dim=-1).double()
    masks = torch.arange(steps) < torch.tensor(lengths)[:, None]
    return feats, segments, masks


@pytest.mark.parametrize('steps', [1, 2, 3, 8, 13, 33])
def test_pooling_equals_the_loops(steps):
    feats, segments, masks = case(steps, (steps, max(steps // 2, 1), 0))
    feats = feats.masked_fill(~masks[:, None], 100.0)
    out = boundary_max_pool(feats, segments, masks)
    assert torch.equal(out, reference(feats, segments, masks))
    assert out.abs().max() < 100 and not out[2].any()


def test_other_neighbourhoods_and_holes():
    feats, segments, masks = case(20, (20, 17), seed=1)
    masks[0, 4:9] = False
    out = boundary_max_pool(feats, segments, masks, inner=0.5, outer=0.3)
    assert torch.equal(out, reference(feats, segments, masks, 0.5, 0.3))
    # Nothing valid in a window.
    windows = torch.tensor([[[5, 7]], [[5, 7]]])
    found = window_max(feats, windows, masks)
    assert not found[0].any()
    assert torch.equal(found[1, :, 0], feats[1, :, 5:8].amax(dim=1))


def test_windows_are_a_share_of_the_length():
    windows = boundary_windows(torch.tensor([[10.0, 50.0], [5.0, 6.0]]))
    assert windows.tolist() == [[[6, 20], [40, 54]], [[4, 6], [5, 7]]]


@pytest.mark.parametrize('length', [2.0, 5.0, 6.0, 10.0])
def test_windows_do_not_depend_on_where_a_segment_lies(length):
    """Nor on whether the step is even: between steps, every edge is halfway."""
    segments = torch.arange(20.0)[:, None] + torch.tensor([-0.5, length - 0.5])
    windows = boundary_windows(segments) - torch.arange(20)[:, None, None]
    assert (windows == windows[0]).all()


def test_windows_outside_see_the_nearest_step():
    feats = torch.arange(6.0).expand(1, 2, 6)
    masks = torch.arange(6)[None] < 4
    windows = torch.tensor([[[-9, -5], [7, 30], [3, 1], [-(10**9), 10**9]]])
    assert window_max(feats, windows, masks)[0, 0].tolist() == [0, 3, 3, 3]


def test_gradient():
    feats, segments, masks = case(9, (9, 6), points=5)
    feats.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: boundary_max_pool(x, segments, masks), feats)
    boundary_max_pool(feats, segments, masks).sum().backward()
    assert feats.grad.sum() == 2 * 4 * 5 and not feats.grad[1, :, 6:].any()


def test_of_equal_steps_the_first_gets_the_gradient():
    feats = torch.zeros(1, 2, 8, requires_grad=True)
    masks = torch.ones(1, 8, dtype=torch.bool)
    window_max(feats, torch.tensor([[[1, 5], [2, 7]]]), masks).sum().backward()
    assert feats.grad[0, 0].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]


def test_half_precision_keeps_its_type():
    feats, segments, masks = case(12, (12,))
    out = boundary_max_pool(feats.bfloat16(), segments, masks)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, reference(feats.bfloat16(), segments, masks))


def test_an_odd_number_of_channels_is_refused():
    feats, segments, masks = case(4, (4,), channels=3)
    with pytest.raises(ValueError, match='even number of channels'):
        boundary_max_pool(feats, segments, masks)
