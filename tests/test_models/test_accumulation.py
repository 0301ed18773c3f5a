"""Accumulated gradients are those of a larger batch."""

import copy

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper

from tools.reliability.distributed import build, detector, head_configs, student, windows

STEPS = 2


def weights_after(config, batch, accumulate):
    """Weights after two updates, each of the gradients of ``accumulate`` copies of a batch."""
    model = build(config, seed=0)
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    wrapper = OptimWrapper(optimizer, accumulative_counts=accumulate)
    wrapper.initialize_count_status(model, 0, STEPS * accumulate)
    begin = copy.deepcopy(model.state_dict())
    for _ in range(STEPS * accumulate):
        model.train_step(pseudo_collate(batch), wrapper)
    state = model.state_dict()
    assert any(not torch.equal(state[name], value) for name, value in begin.items())
    return state


# The moving averages of ActionFormer's and TriDet's losses move with each small batch, and small
# batches with other counts of actions have losses of their own.
@pytest.mark.parametrize('system', ['AFSDHead', 'GTADHead', 'TAGSHead', 'TadTRHead', 'student'])
def test_two_small_batches_equal_one_large(system, tmp_path):
    torch.set_num_threads(1)
    if system == 'student':
        head = head_configs()['TAGSHead']
        teacher = build(detector(head, 'TemporalGradientInput'), seed=7)
        torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
        config = student(head, tmp_path / 'teacher.pth')
    else:
        config = detector(head_configs()[system])
    batch = windows()[2:4]  # two actions and three
    small = weights_after(config, batch, accumulate=2)
    large = weights_after(config, batch * 2, accumulate=1)
    for name, value in large.items():
        torch.testing.assert_close(small[name], value, atol=1e-5, rtol=1e-5)
