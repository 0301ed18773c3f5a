"""GCNeXt's graphs and SGAlign against loops in float64."""

import math

import pytest
import torch

from mmtad_decomp.models.layers import GCNeXtBlock, SGAlignConv, mean_of_neighbors, nearest_steps
from mmtad_decomp.models.layers.sg_align import align_projected
from mmtad_decomp.structures import valid_pairs


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def interpolate(feats, position):
    """RoIAlign's reading of ``(C, L)`` at a position in steps.

    RoIAlign reads the last step at exactly L too, which in floating point is a matter of luck.
    """
    length = feats.shape[1]
    if position < -1 or position >= length:
        return torch.zeros_like(feats[:, 0])
    position = max(position, 0.0)
    low = int(position)
    if low >= length - 1:
        return feats[:, length - 1]
    return feats[:, low] * (1 - (position - low)) + feats[:, low + 1] * (position - low)


def align_span(feats, begin, end, num_samples):
    """``(C, R)``: the means of R bins of a span, read at evenly spaced positions."""
    span = max(end - begin, 1.0)
    size, per_bin = span / num_samples, math.ceil(span / num_samples)
    bins = []
    for r in range(num_samples):
        reads = [
            interpolate(feats, begin + r * size + (i + 0.5) * size / per_bin)
            for i in range(per_bin)
        ]
        bins.append(torch.stack(reads).mean(dim=0))
    return torch.stack(bins, dim=1)


def materialise(feats, max_duration, num_samples, extension=0.5):
    """``(C, R, D, L)`` aligned features of one sample without padding, pair by pair."""
    length = feats.shape[1]
    columns = []
    for d in range(max_duration):
        for s in range(length):
            reach = extension * (d + 1)
            span = (s - reach, s + d + reach) if s + d < length else (0.0, 0.0)
            columns.append(align_span(feats, *span, num_samples))
    maps = torch.stack(columns, dim=2)
    return maps.unflatten(2, (max_duration, length))


def neighbor_mean_reference(feats, k):
    """Of one sample ``(C, L)``."""
    means = []
    for t in range(feats.shape[1]):
        distance = (feats - feats[:, t : t + 1]).norm(dim=0)
        means.append(feats[:, distance.argsort()[:k]].mean(dim=1))
    return torch.stack(means, dim=1)


@pytest.mark.parametrize('inner, context', [(16, 16), (8, 4), (5, 5), (6, 0)])
@pytest.mark.parametrize('max_duration', [1, 6, 12])
def test_commuted_equals_materialised(inner, context, max_duration):
    layer = SGAlignConv(3, 4, max_duration, inner, context).double()
    steps, lengths = 9, (9, 6, 2, 1)
    masks = prefix_masks(lengths, steps)
    feats = draw(4, 3, steps) * masks[:, None]
    actual = layer(feats, masks)
    assert actual.shape == (4, 4, max_duration, steps)
    for n, length in enumerate(lengths):
        x = feats[n, :, :length]
        aligned = materialise(x, max_duration, inner)
        if context:
            mean = neighbor_mean_reference(x, 3)
            aligned = torch.cat((aligned, materialise(mean, max_duration, context)), dim=1)
        expected = torch.einsum('ocr,crds->ods', layer.weight, aligned)
        expected = expected + layer.bias[:, None, None]
        torch.testing.assert_close(actual[n, :, :, :length], expected, rtol=1e-10, atol=1e-12)


def test_float32_is_close():
    layer, masks = SGAlignConv(8, 8, 20).double(), prefix_masks((24, 15), 24)
    feats = draw(2, 8, 24) * masks[:, None]
    expected = layer(feats, masks)
    actual = layer.float()(feats.float(), masks)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_alignment():
    masks = prefix_masks((5, 3), 5)
    feats = draw(2, 5, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: align_projected(x, masks, 4), feats)


def test_gradients_of_the_layer_with_autograd_of_the_materialised():
    layer, masks = SGAlignConv(3, 2, 5, 4, 0).double(), prefix_masks((7,), 7)
    feats = draw(1, 3, 7).requires_grad_()
    weights = draw(1, 2, 5, 7, seed=1)
    params = (feats, layer.weight, layer.bias)
    actual = torch.autograd.grad((layer(feats, masks) * weights).sum(), params)
    maps = torch.einsum('ocr,crds->ods', layer.weight, materialise(feats[0], 5, 4))
    maps = maps + layer.bias[:, None, None]
    expected = torch.autograd.grad((maps * weights[0]).sum(), params)
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-11)


def test_another_extension():
    layer, masks = SGAlignConv(2, 2, 4, 6, 0, extension=0.3).double(), prefix_masks((8,), 8)
    feats = draw(1, 2, 8)
    maps = torch.einsum('ocr,crds->ods', layer.weight, materialise(feats[0], 4, 6, 0.3))
    torch.testing.assert_close(layer(feats, masks)[0], maps + layer.bias[:, None, None])


def test_a_fully_padded_sample_is_finite():
    layer, masks = SGAlignConv(2, 3, 4), prefix_masks((0, 3), 5)
    feats = (torch.randn(2, 2, 5) * masks[:, None]).requires_grad_()
    maps = layer(feats, masks)
    (maps * masks[:, None, None]).square().sum().backward()
    assert torch.isfinite(maps).all() and torch.isfinite(feats.grad).all()
    assert not feats.grad[0].any() and feats.grad[1].any()


def test_valid_pairs():
    valid = valid_pairs(prefix_masks((4, 2, 0), 4), 3)
    for n, length in enumerate((4, 2, 0)):
        for d in range(3):
            for s in range(4):
                assert valid[n, d, s] == (s + d + 1 <= length)


def test_nearest_steps_are_valid_and_nearest():
    masks = prefix_masks((9, 4, 2), 9)
    feats = draw(3, 5, 9)
    feats[1, :, 6] = feats[1, :, 0]
    index, counts = nearest_steps(feats, masks, 3)
    for n, length in enumerate((9, 4, 2)):
        for t in range(length):
            distance = (feats[n, :, :length] - feats[n, :, t : t + 1]).norm(dim=0)
            k = min(3, length)
            assert index[n, t, :k].tolist() == distance.argsort()[:k].tolist()
            assert index[n, t, 0] == t and counts[n, t].sum() == k
            assert index[n, t].max() < length


def test_mean_of_neighbors():
    masks = prefix_masks((7, 2), 7)
    feats = draw(2, 4, 7)
    actual = mean_of_neighbors(feats, masks, 3)
    for n, length in enumerate((7, 2)):
        expected = neighbor_mean_reference(feats[n, :, :length], 3)
        torch.testing.assert_close(actual[n, :, :length], expected)


def gcnext_reference(block, feats):
    """One sample ``(C, L)``; semantic edges one by one, on concatenated features."""
    linear = torch.nn.functional.conv1d
    hidden = linear(feats, block.temporal_in.weight, block.temporal_in.bias).relu()
    mid = block.temporal_mid
    hidden = linear(hidden, mid.weight, mid.bias, padding=1, groups=mid.groups).relu()
    temporal = linear(hidden, block.temporal_out.weight, block.temporal_out.bias)
    semantic = []
    for t in range(feats.shape[1]):
        distance = (feats - feats[:, t : t + 1]).norm(dim=0)
        edges = []
        for j in distance.argsort()[: block.num_neighbors]:
            edge = torch.cat((feats[:, j], feats[:, t]))[:, None]
            edge = linear(edge, block.semantic_in.weight, block.semantic_in.bias).relu()
            edge = linear(
                edge,
                block.semantic_mid.weight,
                block.semantic_mid.bias,
                groups=block.semantic_mid.groups,
            ).relu()
            edges.append(linear(edge, block.semantic_out.weight, block.semantic_out.bias)[:, 0])
        semantic.append(torch.stack(edges).amax(dim=0))
    return (temporal + feats + torch.stack(semantic, dim=1)).relu()


def test_gcnext_equals_the_reference_and_ignores_padding():
    block = GCNeXtBlock(8, groups=4, width_per_group=2).double()
    lengths = (7, 4, 1)
    masks = prefix_masks(lengths, 7)
    feats = draw(3, 8, 7) * masks[:, None]
    actual = block(feats, masks)
    assert not actual.masked_select(~masks[:, None]).any()
    for n, length in enumerate(lengths):
        expected = gcnext_reference(block, feats[n, :, :length])
        torch.testing.assert_close(actual[n, :, :length], expected)


def test_gcnext_reaches_all_weights():
    block = GCNeXtBlock(8, groups=4, width_per_group=2)
    masks = prefix_masks((6, 3, 0), 6)
    block(torch.randn(3, 8, 6) * masks[:, None], masks).sum().backward()
    for name, weight in block.named_parameters():
        assert torch.isfinite(weight.grad).all() and weight.grad.any(), name
