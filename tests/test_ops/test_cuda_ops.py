"""What only CUDA has: layouts of registers and shared memory, streams, limits, 64-bit indices.

The other tests of the operators run on CUDA too, where there is a GPU. `small` tests call every
kernel on little data; tools/benchmarks/gpu_checks.sh runs them under compute-sanitizer.
"""

import pytest
import torch
from op_helpers import (
    attention_formula,
    check_against_formula,
    fusion_formula,
    make_inputs,
    make_mask,
    run_python,
)

from mmtad_decomp.ops import DEVICES, local_attention, local_attentive_fusion

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device'),
    pytest.mark.skipif('cuda' not in DEVICES, reason='the operators are not compiled for CUDA'),
]

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def heads_inside(x):
    """The same values, ``(N, T, H, D)`` in memory."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def columns(x):
    """The same values, ``(N, H, D, T)`` in memory, as convolutions leave them."""
    return x.transpose(2, 3).contiguous().transpose(2, 3)


def check_attention(shape, dtype, window, kind, arrange=lambda x: x):
    *inputs, grad = make_inputs(4, shape, dtype)
    mask = make_mask(kind, shape[0], shape[2])
    on_device = None if mask is None else mask.cuda()
    check_against_formula(
        lambda q, k, v: local_attention(arrange(q), arrange(k), arrange(v), on_device, window),
        lambda *x: attention_formula(*x, mask, window),
        inputs,
        grad,
        'cuda',
        None if mask is None else ~mask[:, None, :, None],
    )


def check_fusion(shape, dtype, window, kind, arrange=lambda x: x):
    *inputs, grad = make_inputs(4, shape, dtype)
    mask = make_mask(kind, shape[0], shape[2])
    on_device = None if mask is None else mask.cuda()
    check_against_formula(
        lambda *x: local_attentive_fusion(*map(arrange, x), on_device, window),
        lambda *x: fusion_formula(*x, mask, window, True),
        inputs,
        grad,
        'cuda',
        None if mask is None else ~mask[:, None, :],
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('dims', [32, 50, 64, 128, 200, 256])
def test_small_attention(dtype, dims):
    check_attention((2, 2, 75, dims), dtype, 19, 'holes')


@pytest.mark.parametrize('dims', [32, 50])
def test_small_attention_layouts(dims):
    check_attention((2, 2, 75, dims), torch.bfloat16, 19, 'tail', heads_inside)
    check_attention((2, 2, 75, dims), torch.bfloat16, 19, 'tail', columns)
    check_attention((1, 2, 300, dims), torch.float32, 299, 'tail')


def test_tensor_cores_pass_their_check():
    """The first call in half types compares kernels, and warns where they differ."""
    run_python(
        'import warnings, torch; from mmtad_decomp.ops.local_attention import local_attention\n'
        "warnings.simplefilter('error')\n"
        "x = torch.ones(1, 1, 40, 64, device='cuda', dtype=torch.bfloat16)\n"
        'local_attention(x, x, x, None, 19)'
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('window', [19, 41, None])
@pytest.mark.parametrize('steps', [75, 520])
def test_small_fusion(dtype, window, steps):
    check_fusion((2, 3, steps), dtype, window, 'holes')


@pytest.mark.parametrize('arrange', [heads_inside, columns])
@pytest.mark.parametrize('steps', [1, 2, 131, 1021, 2304])
@pytest.mark.parametrize('window', [7, 19, 63, 4095])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_attention_lengths(steps, window, dtype, arrange):
    check_attention((2, 2, steps, 64), dtype, window, 'tail', arrange)


@pytest.mark.parametrize('steps', [1, 131, 2304, 4096, 5003, 60000])
@pytest.mark.parametrize('window', [19, 4095, None])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_fusion_lengths(steps, window, dtype):
    if steps > 8192:  # Rows that no block's shared memory holds; the dense formula is too large.
        value, query, key = (x.to(dtype).cuda() for x in make_inputs(3, (1, 2, steps)))
        out = local_attentive_fusion(value, query, key, None, window).double()
        padded = torch.nn.functional.pad(query.double(), (1, 0)).cumsum(-1)
        radius = steps if window is None else window // 2
        index = torch.arange(steps, device='cuda')
        end = (index + radius + 1).clamp(max=steps)
        begin = (index - radius).clamp(min=0)
        mean = (padded[..., end] - padded[..., begin]) / (end - begin)
        expected = value.double() * (torch.sigmoid(mean * key.double()) + 1)
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(out, expected, atol=tolerance, rtol=tolerance)
    else:
        check_fusion((1, 3, steps), dtype, window, 'tail')


def test_more_channels_than_the_kernels_take():
    x = torch.zeros(1, 1, 40, 257, device='cuda')
    with pytest.raises(RuntimeError, match='at most 256 channels, got 257'):
        torch.ops.mmtad_decomp.local_attention(x, x, x, None, 5)
    check_attention((2, 2, 75, 257), torch.float32, 19, 'holes')  # in plain PyTorch


@pytest.mark.parametrize('steps', [70, 2304])
def test_same_bits_twice(steps):
    query, key, value = (
        x.cuda().requires_grad_() for x in make_inputs(3, (2, 4, steps, 128), torch.bfloat16)
    )
    mask = make_mask('holes', 2, steps).cuda()
    runs = []
    for _ in range(3):
        out = local_attention(query, key, value, mask, 19)
        gated = local_attentive_fusion(query[:, 0], key[:, 0], value[:, 0], None, 19)
        grads = torch.autograd.grad(out.sin().sum() + gated.sin().sum(), (query, key, value))
        runs.append([out, gated, *grads])
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run))


def test_runs_on_the_current_stream():
    query, key, value = (x.cuda() for x in make_inputs(3, (1, 4, 2304, 64)))
    expected = local_attention(query * 2, key, value, None, 19)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(
            20_000_000
        )  # The doubling comes late: a kernel elsewhere would not wait.
        out = local_attention(query.mul_(2), key, value, None, 19)
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(out, expected)


def test_graph_capture():
    value, query, key = (x.cuda() for x in make_inputs(3, (2, 64, 256)))
    mask = make_mask('tail', 2, 256).cuda()
    expected = local_attentive_fusion(value, query, key, mask, 19)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = local_attentive_fusion(value, query, key, mask, 19)
    out.zero_()
    graph.replay()
    assert torch.equal(out, expected)


def test_more_than_2_to_the_31_elements():
    shape = (2, 65664, 16384)  # 2.15e9 elements, 4.3 GB in bfloat16.
    if torch.cuda.mem_get_info()[0] < 30e9:
        pytest.skip('needs 30 GB of GPU memory')
    rows = torch.randn(1, 64, shape[2], device='cuda', dtype=torch.bfloat16)
    large = rows.repeat(2, shape[1] // 64, 1)
    out = local_attentive_fusion(large, large, large, None, 19)
    small = local_attentive_fusion(rows, rows, rows, None, 19)
    assert torch.equal(out[1, -64:], small[0])
    del out
    # Two heads whose distance no 32-bit index holds.
    heads = large.view(1, 513, 16384, 256)[:, ::512]
    alone = heads.contiguous()
    assert torch.equal(
        local_attention(heads, heads, heads, None, 19),
        local_attention(alone, alone, alone, None, 19),
    )
