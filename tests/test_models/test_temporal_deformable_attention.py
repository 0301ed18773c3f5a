"""Deformable sampling and attention against loops in float64."""

import math

import pytest
import torch

from mmtad_decomp.models.layers import TemporalDeformableAttention, deformable_sampling


def interpolate(rows, position):
    """Value of ``rows`` (T, C) at a fractional step, zero beyond the first and the last."""
    low = math.floor(position)
    total = torch.zeros(rows.shape[1], dtype=rows.dtype)
    for step, share in ((low, 1 - (position - low)), (low + 1, position - low)):
        if 0 <= step < len(rows):
            total = total + share * rows[step]
    return total


def loop_sampling(values, positions, weights, level_steps):
    batch, queries, heads, levels, points = positions.shape
    out = torch.zeros(batch, queries, heads, values.shape[-1], dtype=torch.float64)
    starts = [sum(level_steps[:level]) for level in range(levels)]
    for n in range(batch):
        for q in range(queries):
            for h in range(heads):
                for level, start in enumerate(starts):
                    rows = values[n, start : start + level_steps[level], h]
                    for p in range(points):
                        sample = interpolate(rows, positions[n, q, h, level, p].item())
                        out[n, q, h] += weights[n, q, h, level, p] * sample
    return out


def sampling_case(level_steps, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    values = torch.randn(2, sum(level_steps), 2, 3, dtype=dtype)
    shape = (2, 3, 2, len(level_steps), 2)
    span = max(level_steps)
    positions = torch.rand(shape, dtype=dtype) * (span + 6) - 3
    return values, positions, torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize('level_steps', [(1,), (7,), (8, 4), (5, 3, 1)])
def test_sampling_equals_a_loop(level_steps):
    values, positions, weights = sampling_case(level_steps)
    expected = loop_sampling(values, positions, weights, level_steps)
    out = deformable_sampling(values, positions, weights, level_steps)
    torch.testing.assert_close(out, expected)
    single = deformable_sampling(values.float(), positions.float(), weights.float(), level_steps)
    torch.testing.assert_close(single.double(), expected, atol=1e-4, rtol=1e-4)


def test_sampling_at_whole_steps_returns_the_step():
    values = torch.arange(5.0).view(1, 5, 1, 1)
    positions = torch.tensor([-1.0, 0, 3, 4, 5]).view(1, 5, 1, 1, 1)
    out = deformable_sampling(values, positions, torch.ones_like(positions), (5,))
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 0, 3, 4, 0]), atol=1e-5, rtol=0)


def test_gradients_of_sampling():
    values, positions, weights = (x.requires_grad_() for x in sampling_case((5, 3)))
    assert torch.autograd.gradcheck(
        lambda *args: deformable_sampling(*args, (5, 3)), (values, positions, weights)
    )


def build(**options):
    torch.manual_seed(1)
    attention = TemporalDeformableAttention(8, num_heads=2, num_points=3, **options).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return attention


def loop_attention(attention, query, centers, widths, values, masks, level_steps):
    """The module's definition, written out for one batch."""
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    batch, queries, dims = query.shape
    positions = torch.zeros(batch, queries, heads, levels, points, dtype=query.dtype)
    shares = torch.zeros_like(positions)
    for n in range(batch):
        for q in range(queries):
            offsets = attention.sampling_offsets(query[n, q]).view(heads, levels, points)
            scores = attention.attention_weights(query[n, q]).view(heads, -1)
            shares[n, q] = torch.softmax(scores, dim=1).view(heads, levels, points)
            for level in range(levels):
                unit = 1.0 if widths is None else widths[n, q, level] / (2 * points)
                positions[n, q, :, level] = centers[n, q, level] + offsets[:, level] * unit
    projected = attention.value_proj(values) * masks[..., None]
    projected = projected.view(batch, -1, heads, dims // heads)
    mixed = loop_sampling(projected, positions, shares, level_steps)
    return attention.output_proj(mixed.view(batch, queries, dims))


@pytest.mark.parametrize('level_steps', [(6,), (6, 3)])
@pytest.mark.parametrize('around_segments', [False, True])
def test_attention_equals_its_definition(level_steps, around_segments):
    levels = len(level_steps)
    attention = build(num_levels=levels)
    query = torch.randn(2, 4, 8, dtype=torch.float64)
    centers = torch.rand(2, 4, levels, dtype=torch.float64) * 6
    widths = torch.rand(2, 4, levels, dtype=torch.float64) * 5 if around_segments else None
    values = torch.randn(2, sum(level_steps), 8, dtype=torch.float64)
    masks = torch.rand(2, sum(level_steps)) > 0.3
    args = (query, centers, widths, values, masks, level_steps)
    torch.testing.assert_close(attention(*args), loop_attention(attention, *args))


def test_masked_steps_are_not_attended():
    attention = build()
    query = torch.randn(1, 3, 8, dtype=torch.float64)
    centers = torch.tensor([[[0.0], [3.0], [6.0]]], dtype=torch.float64)
    values = torch.randn(1, 7, 8, dtype=torch.float64)
    masks = torch.arange(7)[None] < 5
    padded = attention(query, centers, None, values, masks, (7,))
    values[:, 5:] = 1e3
    torch.testing.assert_close(attention(query, centers, None, values, masks, (7,)), padded)
    cut = attention(query, centers, None, values[:, :5], masks[:, :5], (5,))
    torch.testing.assert_close(cut, padded)


def test_first_positions_lie_to_both_sides():
    attention = TemporalDeformableAttention(16, num_heads=8, num_points=4)
    bias = attention.sampling_offsets.bias.view(8, 4)
    torch.testing.assert_close(bias[0], torch.tensor([1.0, 2, 3, 4]))
    torch.testing.assert_close(bias[2], -bias[0])
    torch.testing.assert_close(bias[1], torch.zeros(4), atol=1e-5, rtol=0)
    assert not attention.sampling_offsets.weight.any()


def test_half_precision_keeps_far_steps_apart():
    """In bfloat16 itself, positions beyond 256 would be rounded to even numbers."""
    attention = TemporalDeformableAttention(8, num_heads=2, num_points=1)
    query, values = torch.randn(1, 2, 8), torch.randn(1, 512, 8)
    centers = torch.tensor([[[300.5], [301.5]]])
    args = (query, centers, None, values, torch.ones(1, 512, dtype=torch.bool), (512,))
    expected = attention(*args)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = attention(*args)
    assert (out - expected).abs().max() < 0.05 * expected.abs().max()


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match='multiple of num_heads=4'):
        TemporalDeformableAttention(10, num_heads=4)
