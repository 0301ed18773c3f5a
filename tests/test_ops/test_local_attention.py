"""Sliding-window attention against its formula in float64, on every implementation."""

import itertools

import pytest
import torch
from op_helpers import (
    ATTENTION_REACH,
    MASKS,
    attention_formula,
    check_against_formula,
    check_nan_stays,
    make_inputs,
    make_mask,
    run_python,
)
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmtad_decomp.ops import local_attention, plain_pytorch
from mmtad_decomp.ops.local_attention import _blocked_attention, _dense_attention


def check(device, shape, window, kind='none', dtype=torch.float32, arrange=lambda x: x):
    *inputs, grad = (arrange(x) for x in make_inputs(4, shape, dtype, seed=shape[2]))
    mask = make_mask(kind, shape[0], shape[2])
    check_against_formula(
        lambda *x: local_attention(*x, None if mask is None else mask.to(device), window),
        lambda *x: attention_formula(*x, mask, window),
        inputs,
        grad,
        device,
        None if mask is None else ~mask[:, None, :, None],
    )


@pytest.mark.parametrize('kind', MASKS)
@pytest.mark.parametrize('window', [1, 3, 19, 101, None])
@pytest.mark.parametrize('steps', [1, 2, 7, 16, 40])
def test_short(device, steps, window, kind):
    check(device, (2, 2, steps, 4), window, kind)


@pytest.mark.parametrize('kind', MASKS)
@pytest.mark.parametrize('steps, window', [(127, 19), (257, 5), (300, 63), (1021, 7)])
def test_long(device, steps, window, kind):
    check(device, (2, 2, steps, 16), window, kind)


@pytest.mark.parametrize('steps, window', [(4096, 19), (2304, 19), (1500, 401)])
def test_very_long(device, steps, window):
    check(device, (1, 1, steps, 8), window, 'tail')


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('steps, window', [(1, 3), (37, 9), (150, 19)])
def test_dtypes(device, dtype, steps, window):
    check(device, (2, 2, steps, 20), window, 'holes', dtype)


@pytest.mark.parametrize('dims', [1, 3, 16, 33, 64, 128, 256])
def test_head_widths(device, dims):
    check(device, (1, 2, 70, dims), 9, 'tail')


ARRANGEMENTS = {
    'heads in channels': lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    'time last': lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    'every second': lambda x: x.repeat_interleave(2, -1)[..., ::2],
    'expanded batch': lambda x: x[:1].expand(len(x), -1, -1, -1),
}


@pytest.mark.parametrize('name', ARRANGEMENTS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_strides(device, name, dtype):
    check(device, (2, 2, 53, 24), 11, 'holes', dtype, ARRANGEMENTS[name])


def test_result_keeps_the_order_of_dimensions(compiled_device):
    query = torch.randn(2, 50, 3, 8, device=compiled_device).transpose(1, 2)
    out = local_attention(query, query, query, None, 5)
    assert out.stride() == query.stride()


@pytest.mark.parametrize('shape', [(0, 2, 30, 4), (2, 0, 30, 4), (2, 2, 0, 4)])
def test_empty(device, shape):
    inputs = [x.to(device).requires_grad_() for x in make_inputs(3, shape)]
    out = local_attention(*inputs, None, 5)
    out.sum().backward()
    assert out.shape == shape
    assert all(x.grad.shape == shape for x in inputs)


@pytest.mark.parametrize('kind', ['none', 'tail', 'holes', 'all'])
@pytest.mark.parametrize('steps, window', [(300, 19), (257, 5), (31, 9), (32, 9), (33, 9)])
def test_blocks_equal_dense(steps, window, kind):
    inputs = make_inputs(3, (2, 2, steps, 4), torch.float64)
    mask = make_mask(kind, 2, steps)
    if mask is not None:
        inputs = [x.masked_fill(~mask[:, None, :, None], 0) for x in inputs]
    expected = _dense_attention(*inputs, mask, window // 2)
    out = _blocked_attention(*inputs, mask, window // 2)
    if mask is not None:
        out, expected = (x.masked_fill(~mask[:, None, :, None], 0) for x in (out, expected))
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize('kind', ['none', 'tail', 'holes', 'all'])
def test_gradcheck(device, kind):
    inputs = [x.to(device).requires_grad_() for x in make_inputs(3, (2, 1, 9, 3), torch.float64)]
    mask = make_mask(kind, 2, 9)
    mask = None if mask is None else mask.to(device)
    assert torch.autograd.gradcheck(lambda *x: local_attention(*x, mask, 5), inputs)


def test_second_gradient_is_refused_or_right(compiled_device):
    inputs = [
        x.to(compiled_device).requires_grad_() for x in make_inputs(3, (1, 1, 6, 2), torch.float64)
    ]
    with pytest.raises(RuntimeError, match='not twice differentiable'):
        torch.autograd.gradgradcheck(lambda *x: local_attention(*x, None, 3), inputs)
    with plain_pytorch(), sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(lambda *x: local_attention(*x, None, 3), inputs)


@pytest.mark.parametrize('kind', ['none', 'tail'])
def test_opcheck(compiled_device, kind):
    op = torch.ops.mmtad_decomp
    query, key, value = (
        x.to(compiled_device).requires_grad_() for x in make_inputs(3, (2, 2, 40, 8))
    )
    mask = make_mask(kind, 2, 40)
    mask = None if mask is None else mask.to(compiled_device)
    turned = query.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    torch.library.opcheck(op.local_attention.default, (query, key, value, mask, 9))
    torch.library.opcheck(op.local_attention.default, (turned, key, value, mask, 9))
    out, lse = op.local_attention(query, key, value, mask, 9)
    saved = [x.detach() for x in (torch.randn_like(out), query, key, value)]
    torch.library.opcheck(
        op.local_attention_backward.default, (*saved, mask, lse.detach(), 9, [True] * 3)
    )


@pytest.mark.parametrize('dynamic', [False, True])
def test_compiles_whole(compiled_device, dynamic):
    inputs = [x.to(compiled_device).requires_grad_() for x in make_inputs(3, (2, 2, 40, 8))]
    mask = make_mask('tail', 2, 40).to(compiled_device)

    def model(query, key, value):
        return local_attention(query.sin(), key, value, mask, 9).cos()

    compiled = torch.compile(model, backend='aot_eager', fullgraph=True, dynamic=dynamic)
    results = []
    for run in (model, compiled):
        out = run(*inputs)
        results.append([out, *torch.autograd.grad(out.sum(), inputs)])
    torch.testing.assert_close(results[1], results[0])


def test_autocast_and_mixed_dtypes(device):
    query, key, value = (x.to(device) for x in make_inputs(3, (1, 2, 60, 8)))
    with torch.autocast(device, dtype=torch.bfloat16):
        low = local_attention(query.bfloat16(), key.bfloat16(), value.bfloat16(), None, 9)
    mixed = local_attention(query.bfloat16(), key, value, None, 9)
    expected = attention_formula(*(x.cpu() for x in (query, key, value)), None, 9)
    assert low.dtype == torch.bfloat16 and mixed.dtype == torch.float32
    torch.testing.assert_close(low.cpu().double(), expected, atol=0.05, rtol=0.05)
    torch.testing.assert_close(mixed.cpu().double(), expected, atol=0.05, rtol=0.05)


def test_large_logits_do_not_overflow(device):
    query, key, value = (x.to(device) for x in make_inputs(3, (1, 1, 50, 4)))
    out = local_attention(query * 1e4, key * 1e4, value, None, 7)
    expected = attention_formula((query * 1e4).cpu(), (key * 1e4).cpu(), value.cpu(), None, 7)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('index', ATTENTION_REACH)
@pytest.mark.parametrize('steps, window', [(50, 7), (150, 19), (400, 131)])
def test_nan_stays_in_its_windows(compiled_device, index, steps, window):
    check_nan_stays(
        lambda *x: local_attention(*x, None, window),
        lambda *x: attention_formula(*x, None, window),
        make_inputs(3, (1, 2, steps, 20)),
        index,
        steps // 2,
        window // 2,
        ATTENTION_REACH,
        compiled_device,
    )


@pytest.mark.parametrize('kind', MASKS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('steps, window', [(300, 151), (400, 401), (1021, 333)])
def test_wide_windows(compiled_device, steps, window, dtype, kind):
    check(compiled_device, (2, 2, steps, 12), window, kind, dtype)


WIDE_MEMORY = """
import resource, sys
import torch
from mmtad_decomp.ops.local_attention import local_attention
inputs = [torch.randn(1, 1, 2304, 16, requires_grad=True) for _ in range(3)]
local_attention(*inputs, None, 19).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
local_attention(*inputs, None, 2303).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_of_wide_windows_on_a_cpu(compiled_device):
    if compiled_device == 'cuda':
        pytest.skip('of the CPU')
    assert float(run_python(WIDE_MEMORY)) < 16  # MiB; one float32 per pair of steps takes 20.


@pytest.mark.parametrize('needs', itertools.product([False, True], repeat=3))
@pytest.mark.parametrize('window', [9, 141])
def test_only_the_gradients_that_are_needed(compiled_device, window, needs):
    op = torch.ops.mmtad_decomp
    query, key, value, grad = (x.to(compiled_device) for x in make_inputs(4, (1, 2, 150, 8)))
    _, lse = op.local_attention(query, key, value, None, window)
    given = (grad, query, key, value, None, lse, window)
    every = op.local_attention_backward(*given, [True] * 3)
    some = op.local_attention_backward(*given, needs)
    for ours, theirs, needed in zip(some, every, needs):
        assert torch.equal(ours, theirs) if needed else ours.numel() == 0
    inputs = [x.requires_grad_(needed) for x, needed in zip((query, key, value), needs)]
    if any(needs):
        local_attention(*inputs, None, window).backward(grad)
    for x, theirs, needed in zip(inputs, every, needs):
        assert torch.equal(x.grad, theirs) if needed else x.grad is None


THREADS = """
import torch
from op_helpers import make_inputs
from mmtad_decomp.ops.local_attention import local_attention
inputs = [x.requires_grad_() for x in make_inputs(3, (1, 3, 700, 32))]
results = []
for threads in (1, 2, 2):
    torch.set_num_threads(threads)
    out = local_attention(*inputs, None, 19)
    results.append([out, *torch.autograd.grad(out.sin().sum(), inputs)])
for other in results[1:]:
    assert all(torch.equal(a, b) for a, b in zip(results[0], other))
"""


def test_same_bits_for_any_number_of_threads(compiled_device):
    if compiled_device == 'cpu':
        run_python(THREADS)
    else:
        inputs = [x.cuda() for x in make_inputs(3, (1, 3, 700, 32))]
        first, again = (local_attention(*inputs, None, 19) for _ in range(2))
        assert torch.equal(first, again)


INSTRUCTIONS = """
import torch
from op_helpers import attention_formula, check_against_formula, make_inputs, make_mask
from mmtad_decomp.ops.local_attention import local_attention
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    for shape in ((2, 2, 70, 20), (1, 1, 33, 1)):
        for arrange in (lambda x: x, lambda x: x.transpose(2, 3).contiguous().transpose(2, 3)):
            *inputs, grad = (arrange(x) for x in make_inputs(4, shape, dtype))
            mask = make_mask('holes', shape[0], shape[2])
            check_against_formula(
                lambda *x: local_attention(*x, mask, 19),
                lambda *x: attention_formula(*x, mask, 19),
                inputs, grad, 'cpu', ~mask[:, None, :, None],
            )
"""


def test_instruction_sets(instructions):
    run_python(INSTRUCTIONS, ATEN_CPU_CAPABILITY=instructions)


def test_bad_arguments(device):
    query = torch.zeros(1, 2, 4, 3, device=device)
    mask = torch.ones(1, 5, dtype=torch.bool, device=device)
    with pytest.raises(ValueError, match='odd'):
        local_attention(query, query, query, None, 4)
    with pytest.raises(ValueError, match='key'):
        local_attention(query, query[:, :1], query, None, 3)
    with pytest.raises(TypeError, match='bool'):
        local_attention(query, query, query, torch.ones(1, 4, device=device), 3)
    with pytest.raises(ValueError, match='mask'):
        local_attention(query, query, query, mask, 3)


def test_bad_arguments_below_the_front(compiled_device):
    op = torch.ops.mmtad_decomp.local_attention
    query = torch.zeros(1, 2, 4, 3, device=compiled_device)
    mask = torch.ones(1, 5, dtype=torch.bool, device=compiled_device)
    for arguments, message in (
        ((query, query[:, :1], query, None, 3), 'one shape'),
        ((query, query.double(), query, None, 3), 'dtype'),
        ((query, query, query, mask, 3), 'mask must have shape'),
        ((query, query, query, mask[:, :4].float(), 3), 'mask must be bool'),
        ((query, query, query, None, 4), 'odd'),
    ):
        with pytest.raises(RuntimeError, match=message):
            op(*arguments)
    backward = torch.ops.mmtad_decomp.local_attention_backward
    for lse in (torch.zeros(1, 2, 3), torch.zeros(1, 2, 4, dtype=torch.float64)):
        with pytest.raises(RuntimeError, match='lse must be what the forward returned'):
            lse = lse.to(compiled_device)
            backward(query, query, query, query, None, lse, 3, [True] * 3)
