"""Group norm of valid steps against PyTorch's."""

import pytest
import torch
from torch import nn

from mmtad_decomp.models.layers import MaskedGroupNorm


def test_equals_group_norm_of_the_valid_steps():
    torch.manual_seed(0)
    norm, reference = MaskedGroupNorm(2, 6), nn.GroupNorm(2, 6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    reference.load_state_dict(norm.state_dict())
    x, lengths = torch.randn(3, 6, 7) * 3 + 1, (7, 4, 1)
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    out = norm(x, mask)
    for n, length in enumerate(lengths):
        expected = reference(x[n : n + 1, :, :length])[0]
        torch.testing.assert_close(out[n, :, :length], expected)
        assert not out[n, :, length:].any()


def test_nothing_valid_gives_zeros_and_finite_gradients():
    norm, x = MaskedGroupNorm(2, 4), torch.randn(1, 4, 3, requires_grad=True)
    out = norm(x, torch.zeros(1, 3, dtype=torch.bool))
    out.sum().backward()
    assert not out.any() and torch.isfinite(x.grad).all()
    assert norm(x.bfloat16(), torch.ones(1, 3, dtype=torch.bool)).dtype == torch.bfloat16


def test_groups_must_divide_channels():
    with pytest.raises(ValueError, match='divisible by num_groups'):
        MaskedGroupNorm(4, 6)
