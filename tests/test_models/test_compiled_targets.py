"""Batches whose samples have other numbers of instances do not compile a training step again."""

import pytest
import torch
from small_heads import HEADS, features, instances, make, prefix_masks
from torch._dynamo.testing import CompileCounter

from mmtad_decomp.utils.compilation import outside_of_graphs


@pytest.fixture(autouse=True)
def without_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def ground_truth(count, seed):
    """So many instances within 16 steps."""
    generator = torch.Generator().manual_seed(seed)
    starts = 8 * torch.rand(count, generator=generator)
    ends = starts + 1 + 5 * torch.rand(count, generator=generator)
    labels = torch.randint(0, 3, (count,), generator=generator)
    return instances(*torch.stack((starts, ends, labels), dim=1).tolist())


def test_a_function_outside_of_graphs_has_no_graph():
    calls = []

    @outside_of_graphs
    def count(x, *, weight):
        """Sum."""
        calls.append(torch.compiler.is_compiling())
        return weight * x[x > 0].sum()

    counter = CompileCounter()
    step = torch.compile(lambda x: 2 * x + count(x, weight=2), backend=counter)
    for number in range(4):
        x = (torch.arange(5) < number).float()
        assert torch.equal(step(x), 2 * x + 2 * number)
    assert calls == [False] * 4 and counter.frame_count == 2  # before the call and after it
    assert count(torch.ones(3), weight=1) == 3 and count.__doc__ == 'Sum.'


@pytest.mark.parametrize('name', HEADS)
def test_targets_are_outside_of_graphs(name):
    head = make(name)
    outputs = head(features(2, 16), prefix_masks([16, 12], 16))
    counter = CompileCounter()
    compiled = torch.compile(lambda gt: head.targets(outputs, gt), backend=counter)
    for count in range(3):
        gt = [ground_truth(count, seed=0), ground_truth(2 - count, seed=1)]
        for found, wanted in zip(compiled(gt), head.targets(outputs, gt)):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert counter.frame_count == 0
