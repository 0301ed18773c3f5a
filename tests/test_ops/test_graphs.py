"""One graph for sequences of every length: torch.compile, torch.export and torch.jit.trace."""

import warnings

import pytest
import torch
from op_helpers import make_inputs, make_mask
from torch._dynamo.testing import CompileCounter

from mmtad_decomp.ops import local_attention, local_attentive_fusion

ATTENTION, FUSION = (local_attention, (2, 2, None, 8)), (local_attentive_fusion, (2, 4, None))


class Operator(torch.nn.Module):
    """An operator with its window, as a module of three tensors and a mask."""

    def __init__(self, op, window):
        super().__init__()
        self.op, self.window = op, window

    def forward(self, *tensors):
        return self.op(*tensors, self.window)


def arguments(shape, steps, device):
    """Three tensors of the shape, None being the steps, and a mask."""
    inputs = make_inputs(3, [steps if size is None else size for size in shape], seed=steps)
    return [x.to(device) for x in (*inputs, make_mask('tail', shape[0], steps))]


def check_lengths(run, model, shape, device, lengths):
    for steps in lengths:
        given = arguments(shape, steps, device)
        torch.testing.assert_close(run(*given), model(*given), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('window', [19, None])
@pytest.mark.parametrize('op, shape', [ATTENTION, FUSION])
def test_compiles_once(compiled_device, op, shape, window):
    torch._dynamo.reset()
    counter = CompileCounter()
    model = Operator(op, window)
    run = torch.compile(model, backend=counter, dynamic=True, fullgraph=True)
    check_lengths(run, model, shape, compiled_device, [40, 10, 75, 128, 300])
    assert counter.frame_count == 1


@pytest.mark.parametrize('window', [19, None])
@pytest.mark.parametrize('op, shape', [ATTENTION, FUSION])
def test_exports_every_length(device, op, shape, window):
    model, steps = Operator(op, window), torch.export.Dim('steps', min=2, max=4096)
    axis = shape.index(None)
    given = tuple(arguments(shape, 40, device))
    program = torch.export.export(
        model, given, dynamic_shapes=(({axis: steps},) * 3 + ({1: steps},),)
    )
    check_lengths(program.module(), model, shape, device, [10, 75, 300])


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('window', [19, None])
@pytest.mark.parametrize('op, shape', [ATTENTION, FUSION])
def test_traces_every_length(device, op, shape, window):
    model = Operator(op, window)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)  # The arguments' checks.
        traced = torch.jit.trace(model, tuple(arguments(shape, 40, device)))
    check_lengths(traced, model, shape, device, [10, 75, 300])
