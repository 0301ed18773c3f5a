"""One-dimensional RoIAlign against a loop in float64."""

import math

import pytest
import torch

from mmtad_decomp.models.layers import temporal_roi_align


def loop_roi_align(feats, segments, lengths, num_bins, aligned):
    """One value after the other, as RoIAlign is defined."""
    out = torch.zeros(*segments.shape[:2], feats.shape[1], num_bins, dtype=torch.float64)
    for n, length in enumerate(lengths.tolist()):
        for q in range(segments.shape[1]):
            start, end = segments[n, q].tolist()
            span = max(end - start, 1.0)
            count = min(math.ceil(span / num_bins), max(1, math.ceil(feats.shape[2] / num_bins)))
            for b in range(num_bins):
                for i in range(count):
                    x = start + span / num_bins * (b + (i + 0.5) / count) - 0.5 * aligned
                    if length == 0 or x < -1 or x > length:
                        continue
                    x = min(max(x, 0.0), length - 1.0)
                    low = math.floor(x)
                    high = min(low + 1, length - 1)
                    value = (1 - x + low) * feats[n, :, low] + (x - low) * feats[n, :, high]
                    out[n, q, :, b] += value / count
    return out


def case(steps, queries=5, seed=0):
    torch.manual_seed(seed)
    feats = torch.randn(3, 2, steps, dtype=torch.float64)
    lengths = torch.tensor([steps, max(1, steps // 2), 0])
    edges = torch.rand(3, queries, 2, dtype=torch.float64) * (steps + 4) - 2
    edges = edges.sort(dim=-1).values
    edges[:, 0] = torch.tensor([0.0, steps])
    edges[:, 1] = torch.tensor([0.3, 0.35])
    edges[:, 2] = torch.tensor([-9.0, steps + 30.0])
    return feats, edges, lengths


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize('steps', [1, 2, 9, 20])
@pytest.mark.parametrize('num_bins', [1, 4])
def test_equals_a_loop(steps, num_bins, aligned):
    feats, segments, lengths = case(steps)
    expected = loop_roi_align(feats, segments, lengths, num_bins, aligned)
    out = temporal_roi_align(feats, segments, lengths, num_bins, aligned)
    torch.testing.assert_close(out, expected)
    assert not out[2].any()


def test_padding_is_not_read():
    feats, segments, lengths = case(9)
    out = temporal_roi_align(feats, segments, lengths, 4)
    feats[1, :, 4:] = 1e3
    torch.testing.assert_close(temporal_roi_align(feats, segments, lengths, 4), out)


def test_aligned_pooling_of_a_ramp_gives_the_bins_middles():
    ramp = torch.arange(16.0).view(1, 1, 16)
    pooled = temporal_roi_align(
        ramp, torch.tensor([[[4.0, 12.0]]]), torch.tensor([16]), 4, aligned=True
    )
    torch.testing.assert_close(pooled.flatten(), torch.tensor([4.5, 6.5, 8.5, 10.5]))


def test_gradients():
    feats, segments, lengths = case(9)
    segments = segments[:, 3:] + 0.013
    assert torch.autograd.gradcheck(
        lambda x, y: temporal_roi_align(x, y, lengths, 3),
        (feats.requires_grad_(), segments.requires_grad_()),
    )
