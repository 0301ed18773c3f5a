"""Temporal IoU and ways to write a segment."""

import numpy as np
import pytest
import torch

from mmtad_decomp.structures import (
    center_width_to_start_end,
    pairwise_tiou,
    start_end_to_center_width,
)


def reference(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / union if union > 0 else 0.0


@pytest.mark.parametrize('convert', [np.asarray, torch.as_tensor], ids=['numpy', 'torch'])
def test_against_plain_formula(convert):
    rng = np.random.default_rng(1)
    a = np.sort(rng.integers(0, 12, (40, 2)), axis=1).astype(np.float64)
    b = np.sort(rng.integers(0, 12, (30, 2)), axis=1).astype(np.float64)
    wanted = [[reference(x, y) for y in b] for x in a]
    got = np.asarray(pairwise_tiou(convert(a), convert(b)))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


def test_empty_zero_length_and_integers():
    assert pairwise_tiou(np.zeros((0, 2)), np.ones((3, 2))).shape == (0, 3)
    assert pairwise_tiou(torch.zeros(2, 2), torch.zeros(1, 2)).tolist() == [[0], [0]]
    assert pairwise_tiou(torch.tensor([[0, 2]]), torch.tensor([[1, 3]])).item() == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize('convert', [np.asarray, torch.as_tensor], ids=['numpy', 'torch'])
def test_centres_and_widths(convert):
    segments = convert(np.array([[[1.0, 4.0], [-2.0, 2.0]], [[0.5, 0.5], [3.0, 1.0]]]))
    pairs = start_end_to_center_width(segments)
    assert np.asarray(pairs).tolist() == [[[2.5, 3.0], [0.0, 4.0]], [[0.5, 0.0], [2.0, -2.0]]]
    np.testing.assert_array_equal(np.asarray(center_width_to_start_end(pairs)), segments)
