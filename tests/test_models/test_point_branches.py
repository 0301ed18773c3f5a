"""Branches of a pyramid: many levels in one row give what each gives by itself."""

import pytest
import torch
import torch.nn.functional as F

from mmtad_decomp.models.heads import ClassificationBranch, RegressionBranch
from mmtad_decomp.models.heads import point_branches as module

LENGTHS = [(9, 5, 3, 2, 1), (1, 1), (4,), (16, 8, 4)]


def formula(branch, x, mask):
    """One level, step by step as ActionFormer has it."""
    mask = mask[:, None].to(x.dtype)
    for conv, norm in zip(branch.convs, branch.norms):
        x = F.conv1d(x, conv.conv.weight, padding=conv.conv.padding[0]) * mask
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = (x * norm.weight[:, None] + norm.bias[:, None]).clamp(min=0)
    last = branch.predictor.conv
    return F.conv1d(x, last.weight, last.bias, padding=last.padding[0]) * mask


def make(kind, lengths, kernel_size=3, seed=0):
    torch.manual_seed(seed)
    layers = dict(num_layers=3, kernel_size=kernel_size)
    if kind == 'class':
        branch = ClassificationBranch(6, 8, 5, **layers)
    else:
        branch = RegressionBranch(6, 8, len(lengths), **layers)
        torch.nn.init.uniform_(branch.scales, 0.5, 2)
    branch = branch.double()
    for norm in branch.norms:
        torch.nn.init.normal_(norm.bias)  # what masked steps hold is seen by their neighbours
    feats = [torch.randn(3, 6, n, dtype=torch.double, requires_grad=True) for n in lengths]
    masks = [torch.arange(n) < torch.tensor([[n], [(n + 1) // 2], [0]]) for n in lengths]
    return branch, feats, masks


@pytest.mark.parametrize('small', [0, 100, 1 << 18])
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
@pytest.mark.parametrize('lengths', LENGTHS)
@pytest.mark.parametrize('kind', ['class', 'offsets'])
def test_equals_the_formula_of_each_level(kind, lengths, kernel_size, small, monkeypatch):
    monkeypatch.setattr(module, 'SMALL_LEVEL', small)
    branch, feats, masks = make(kind, lengths, kernel_size)
    outputs = branch(feats, masks)
    expected = [formula(branch, x, mask) for x, mask in zip(feats, masks)]
    if kind == 'offsets':
        expected = [
            F.softplus(x * scale) * mask[:, None]
            for x, scale, mask in zip(expected, branch.scales, masks)
        ]
    assert [x.shape for x in outputs] == [x.shape for x in expected]
    torch.testing.assert_close(outputs, tuple(expected))
    weights = [*feats, *branch.parameters()]
    grads, wanted = (
        torch.autograd.grad(sum((x * x.detach().cos()).sum() for x in levels), weights)
        for levels in (outputs, expected)
    )
    torch.testing.assert_close(grads, wanted)


def test_levels_do_not_reach_each_other():
    branch, feats, masks = make('class', (8, 4, 2))
    clean = branch(feats, masks)
    for level in range(3):
        broken = [x.detach().clone() for x in feats]
        broken[level].fill_(torch.nan)
        for index, (x, before) in enumerate(zip(branch(broken, masks), clean)):
            assert torch.equal(x, before) == (index != level)


def test_small_levels_are_convolved_together(monkeypatch):
    branch, feats, masks = make('class', (8, 4, 2))
    convolve, lengths = torch.nn.Conv1d.forward, []
    monkeypatch.setattr(
        torch.nn.Conv1d,
        'forward',
        lambda self, x: lengths.append(x.shape[2]) or convolve(self, x),
    )
    branch(feats, masks)
    assert lengths == [8 + 4 + 2 + 3] * 3
    lengths.clear()
    monkeypatch.setattr(module, 'SMALL_LEVEL', feats[1].numel())
    branch(feats, masks)
    assert lengths == [8] * 3 + [4 + 2 + 2] * 3
