"""Local attentive fusion against its formula in float64, on every implementation."""

import itertools

import pytest
import torch
from op_helpers import (
    FUSION_REACH,
    MASKS,
    check_against_formula,
    check_nan_stays,
    fusion_formula,
    make_inputs,
    make_mask,
    run_python,
)

from mmtad_decomp.ops import local_attentive_fusion, plain_pytorch


def check(device, shape, window, kind='none', residual=True, dtype=torch.float32, arrange=None):
    *inputs, grad = (arrange(x) if arrange else x for x in make_inputs(4, shape, dtype, shape[2]))
    mask = make_mask(kind, shape[0], shape[2])
    on_device = None if mask is None else mask.to(device)
    check_against_formula(
        lambda *x: local_attentive_fusion(*x, on_device, window, residual),
        lambda *x: fusion_formula(*x, mask, window, residual),
        inputs,
        grad,
        device,
        None if mask is None else ~mask[:, None, :],
    )


@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('kind', MASKS)
@pytest.mark.parametrize('window', [1, 3, 5, 9, 19, 101, None])
@pytest.mark.parametrize('steps', [1, 2, 12, 33])
def test_short(device, steps, window, kind, residual):
    check(device, (2, 3, steps), window, kind, residual)


@pytest.mark.parametrize('window', [7, 63, 2047, None])
@pytest.mark.parametrize('steps', [257, 1021, 4096])
def test_long(device, steps, window):
    check(device, (2, 2, steps), window, 'holes')


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('window', [5, None])
@pytest.mark.parametrize('steps', [1, 37, 150])
def test_dtypes(device, dtype, window, steps):
    check(device, (2, 3, steps), window, 'tail', dtype=dtype)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    'arrange',
    [
        lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
        lambda x: x.repeat_interleave(2, -1)[..., ::2],
        lambda x: x[:1].expand(len(x), -1, -1),
    ],
    ids=['channels last', 'every second', 'expanded batch'],
)
def test_strides(device, dtype, arrange):
    check(device, (2, 5, 41), 7, 'holes', dtype=dtype, arrange=arrange)


@pytest.mark.parametrize('shape', [(0, 2, 30), (2, 0, 30), (2, 2, 0)])
@pytest.mark.parametrize('window', [5, None])
def test_empty(device, shape, window):
    inputs = [x.to(device).requires_grad_() for x in make_inputs(3, shape)]
    out = local_attentive_fusion(*inputs, None, window)
    out.sum().backward()
    assert out.shape == shape
    assert all(x.grad.shape == shape for x in inputs)


@pytest.mark.parametrize('window', [3, 51, None])
@pytest.mark.parametrize('kind', MASKS)
def test_gradcheck(device, kind, window):
    inputs = [x.to(device).requires_grad_() for x in make_inputs(3, (2, 3, 7), torch.float64)]
    mask = make_mask(kind, 2, 7)
    mask = None if mask is None else mask.to(device)
    assert torch.autograd.gradcheck(lambda *x: local_attentive_fusion(*x, mask, window), inputs)


def test_second_gradient_is_refused_or_right(compiled_device):
    inputs = [
        x.to(compiled_device).requires_grad_() for x in make_inputs(3, (1, 2, 6), torch.float64)
    ]
    with pytest.raises(RuntimeError, match='not twice differentiable'):
        torch.autograd.gradgradcheck(lambda *x: local_attentive_fusion(*x, None, 3), inputs)
    with plain_pytorch():
        assert torch.autograd.gradgradcheck(lambda *x: local_attentive_fusion(*x, None, 3), inputs)


@pytest.mark.parametrize('window', [9, None])
@pytest.mark.parametrize('kind', ['none', 'tail'])
def test_opcheck(compiled_device, kind, window):
    op = torch.ops.mmtad_decomp
    inputs = [x.to(compiled_device).requires_grad_() for x in make_inputs(3, (2, 6, 40))]
    mask = make_mask(kind, 2, 40)
    mask = None if mask is None else mask.to(compiled_device)
    torch.library.opcheck(op.local_attentive_fusion.default, (*inputs, mask, window, True))
    saved = [x.detach() for x in (torch.randn_like(inputs[0]), *inputs)]
    torch.library.opcheck(
        op.local_attentive_fusion_backward.default,
        (*saved, mask, window, True, [True, False, True]),
    )


@pytest.mark.parametrize('dynamic', [False, True])
def test_compiles_whole(compiled_device, dynamic):
    inputs = [x.to(compiled_device).requires_grad_() for x in make_inputs(3, (2, 6, 40))]
    mask = make_mask('tail', 2, 40).to(compiled_device)

    def model(value, query, key):
        return local_attentive_fusion(value.sin(), query, key, mask, 9).cos()

    compiled = torch.compile(model, backend='aot_eager', fullgraph=True, dynamic=dynamic)
    results = []
    for run in (model, compiled):
        out = run(*inputs)
        results.append([out, *torch.autograd.grad(out.sum(), inputs)])
    torch.testing.assert_close(results[1], results[0])


def test_offset_and_length_cost_no_precision(device):
    value, query, key = make_inputs(3, (1, 3, 5000))
    query, key = query + 1000, key * 1e-3
    out = local_attentive_fusion(*(x.to(device) for x in (value, query, key)), None, 9)
    expected = fusion_formula(value, query, key, None, 9, True)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('size', [1e2, 1e4])
def test_saturated_gates(device, size):
    value, query, key = make_inputs(3, (1, 2, 40))
    out = local_attentive_fusion(
        *(x.to(device) for x in (value, query * size, key * size)), None, 3
    )
    expected = fusion_formula(value, query * size, key * size, None, 3, True)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('index', FUSION_REACH)
@pytest.mark.parametrize('steps, window', [(50, 7), (201, 63)])
def test_nan_stays_in_its_windows(device, index, steps, window):
    check_nan_stays(
        lambda *x: local_attentive_fusion(*x, None, window),
        lambda *x: fusion_formula(*x, None, window, True),
        make_inputs(3, (2, 3, steps)),
        index,
        steps // 2,
        window // 2,
        FUSION_REACH,
        device,
    )


@pytest.mark.parametrize('needs', itertools.product([False, True], repeat=3))
@pytest.mark.parametrize('window', [9, None])
def test_only_the_gradients_that_are_needed(compiled_device, window, needs):
    op = torch.ops.mmtad_decomp
    *inputs, grad = (x.to(compiled_device) for x in make_inputs(4, (2, 3, 50)))
    every = op.local_attentive_fusion_backward(grad, *inputs, None, window, True, [True] * 3)
    some = op.local_attentive_fusion_backward(grad, *inputs, None, window, True, needs)
    for ours, theirs, needed in zip(some, every, needs):
        assert torch.equal(ours, theirs) if needed else ours.numel() == 0
    inputs = [x.requires_grad_(needed) for x, needed in zip(inputs, needs)]
    if any(needs):
        local_attentive_fusion(*inputs, None, window).backward(grad)
    for x, theirs, needed in zip(inputs, every, needs):
        assert torch.equal(x.grad, theirs) if needed else x.grad is None


def test_autocast_and_mixed_dtypes(device):
    value, query, key = (x.to(device) for x in make_inputs(3, (2, 3, 33)))
    expected = fusion_formula(*(x.cpu() for x in (value, query, key)), None, 5, True)
    with torch.autocast(device, dtype=torch.bfloat16):
        low = local_attentive_fusion(value.bfloat16(), query.bfloat16(), key.bfloat16(), None, 5)
        mixed = local_attentive_fusion(value, query.bfloat16(), key.bfloat16(), None, 5)
    assert low.dtype == torch.bfloat16 and mixed.dtype == torch.float32
    torch.testing.assert_close(low.cpu().double(), expected, atol=0.02, rtol=0.02)
    torch.testing.assert_close(mixed.cpu().double(), expected, atol=0.02, rtol=0.02)


THREADS = """
import torch
from op_helpers import make_inputs
from mmtad_decomp.ops.local_attentive_fusion import local_attentive_fusion
inputs = [x.requires_grad_() for x in make_inputs(3, (2, 50, 700))]
results = []
for threads in (1, 2, 2):
    torch.set_num_threads(threads)
    out = local_attentive_fusion(*inputs, None, 19)
    results.append([out, *torch.autograd.grad(out.sin().sum(), inputs)])
for other in results[1:]:
    assert all(torch.equal(a, b) for a, b in zip(results[0], other))
"""


def test_same_bits_for_any_number_of_threads(compiled_device):
    if compiled_device == 'cpu':
        run_python(THREADS)
    else:
        inputs = [x.cuda() for x in make_inputs(3, (2, 50, 700))]
        first, again = (local_attentive_fusion(*inputs, None, 19) for _ in range(2))
        assert torch.equal(first, again)


INSTRUCTIONS = """
import torch
from op_helpers import check_against_formula, fusion_formula, make_inputs, make_mask
from mmtad_decomp.ops.local_attentive_fusion import local_attentive_fusion
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    for window in (1, 19, None):
        *inputs, grad = make_inputs(4, (2, 3, 70), dtype)
        mask = make_mask('holes', 2, 70)
        check_against_formula(
            lambda *x: local_attentive_fusion(*x, mask, window),
            lambda *x: fusion_formula(*x, mask, window, True),
            inputs, grad, 'cpu', ~mask[:, None, :],
        )
"""


def test_instruction_sets(instructions):
    run_python(INSTRUCTIONS, ATEN_CPU_CAPABILITY=instructions)


def test_bad_arguments(device):
    x = torch.zeros(1, 2, 4, device=device)
    with pytest.raises(ValueError, match='odd'):
        local_attentive_fusion(x, x, x, None, 2)
    with pytest.raises(ValueError, match='query'):
        local_attentive_fusion(x, x[..., :3], x)


def test_bad_arguments_below_the_front(compiled_device):
    op = torch.ops.mmtad_decomp.local_attentive_fusion
    x = torch.zeros(1, 2, 4, device=compiled_device)
    mask = torch.ones(1, 5, dtype=torch.bool, device=compiled_device)
    for arguments, message in (
        ((x, x[:, :1], x, None, 3, True), 'one shape'),
        ((x, x.double(), x, None, 3, True), 'dtype'),
        ((x, x, x, mask, 3, True), 'mask must have shape'),
        ((x, x, x, None, 4, True), 'odd'),
    ):
        with pytest.raises(RuntimeError, match=message):
            op(*arguments)
