"""The CUDA kernels, run on the CPU by an emulation, against the formulas in float64.

This finds errors of indexing and of synchronisation without a GPU. It says nothing about speed,
and is no proof that a GPU computes the same.
"""

import itertools
import subprocess
from dataclasses import replace

import pytest
import torch
from cuda_emulation import Case, compile_emulation, has_compiler, run_cases
from op_helpers import (
    ATTENTION_REACH,
    FUSION_REACH,
    MASKS,
    TOLERANCE,
    attention_formula,
    check_nan_reaches,
    fusion_formula,
    make_inputs,
    make_mask,
    poison,
    with_nan,
)

pytestmark = pytest.mark.skipif(not has_compiler(), reason='the emulation needs g++')

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    target = tmp_path_factory.mktemp('emulation') / 'emulate'
    compile_emulation(target)
    return target


@pytest.fixture(scope='module')
def sanitised(tmp_path_factory):
    target = tmp_path_factory.mktemp('sanitised') / 'emulate'
    flags = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-DEMULATE_FEW', '-g1']
    compile_emulation(target, *flags)
    return target


def spaced(x, layout):
    """The same values in another layout."""
    if layout == 'heads inside':  # (N, T, H, D) in memory.
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == 'columns':  # (N, H, D, T) in memory.
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == 'offset':  # Starts at an odd element: nothing is aligned.
        memory = torch.zeros(x.numel() + 1, dtype=x.dtype)
        memory[1:] = x.reshape(-1)
        return memory[1:].view(x.shape)
    if layout == 'slice':  # Every second channel group of a wider tensor.
        return torch.cat([x, torch.full_like(x, float('nan'))], 1)[:, : x.shape[1]]
    return x


def invalid_at(x, mask):
    """Where masked steps are, broadcast to x."""
    if mask is None:
        return torch.zeros(1, dtype=torch.bool)
    return ~mask[:, None, :, None] if x.ndim == 4 else ~mask[:, None, :]


class Expected:
    """What the formula gives for a case, with its gradients."""

    def __init__(self, formula, inputs, mask, *args, seed=7):
        exact = [x.double().requires_grad_() for x in inputs]
        self.out = formula(*exact, mask, *args)
        self.grad = make_inputs(1, self.out.shape, inputs[0].dtype, seed)[0]
        self.out.backward(self.grad.double())
        self.grads = [x.grad for x in exact]
        self.out = self.out.detach()


def check_close(ours, theirs, dtype, what):
    scale = 1 + float(theirs.abs().max())
    error = (ours.double() - theirs).abs()
    assert not error.isnan().any(), what
    assert float(error.max()) <= TOLERANCE[dtype] * scale, (what, float(error.max()) / scale)


def attention_cases(shape, dtype, window, kind, layout, tensor_cores=False):
    inputs = make_inputs(3, shape, dtype, seed=shape[2])
    mask = make_mask(kind, shape[0], shape[2])
    expected = Expected(attention_formula, inputs, mask, window)
    q, k, v, grad = (
        spaced(x, layout) for x in poison([*inputs, expected.grad], invalid_at(inputs[0], mask))
    )
    lse = torch.empty(shape[:3], dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    like = torch.empty_like(q)
    # The backward's lse is the forward's, so it is filled in between.
    forward = Case('attention', [q, k, v], [like, lse], mask, window, tensor_cores=tensor_cores)
    backward = replace(
        forward, op='attention_backward', inputs=[grad, q, k, v, lse], outputs=[like] * 3
    )
    return forward, backward, expected


def check_attention(program, folder, specs):
    """Run forward, then backward with its log-sum-exp; compare both with the formula."""
    made = [attention_cases(*spec) for spec in specs]
    forward = run_cases(program, folder, [case for case, _, _ in made])
    for (out, lse), (_, backward, _) in zip(forward, made):
        backward.inputs[4] = lse
        assert ((lse == float('inf')) | lse.isfinite()).all()
        assert (out.isfinite()).all()
    backward = run_cases(program, folder, [case for _, case, _ in made])
    for spec, (out, _), grads, (_, _, expected) in zip(specs, forward, backward, made):
        check_close(out, expected.out, spec[1], ('out', spec))
        for name, ours, theirs in zip('qkv', grads, expected.grads):
            check_close(ours, theirs, spec[1], (f'grad {name}', spec))


def check_fusion(program, folder, specs):
    cases, expectations = [], []
    for shape, dtype, window, kind, layout, residual, limit in specs:
        inputs = make_inputs(3, shape, dtype, seed=shape[2])
        mask = make_mask(kind, shape[0], shape[2])
        expected = Expected(fusion_formula, inputs, mask, window, residual)
        given = [
            spaced(x, layout)
            for x in poison([expected.grad, *inputs], invalid_at(inputs[0], mask))
        ]
        outputs = [torch.empty(shape, dtype=dtype)]
        cases.append(Case('fusion', given[1:], outputs, mask, window, residual, limit))
        cases.append(Case('fusion_backward', given, outputs * 3, mask, window, residual, limit))
        expectations.append(expected)
    results = run_cases(program, folder, cases)
    for spec, expected, (out,), grads in zip(specs, expectations, results[::2], results[1::2]):
        check_close(out, expected.out, spec[1], ('out', spec))
        for name, ours, theirs in zip('vqk', grads, expected.grads):
            check_close(ours, theirs, spec[1], (f'grad {name}', spec))


ATTENTION_SPECS = [
    # Every dtype on every layout of registers, with channels that fill it and that do not.
    *(
        ((1, 1, 37, dims), dtype, 19, 'holes', 'plain')
        for dtype, dims in itertools.product(DTYPES, [32, 64, 128, 256])
    ),
    *(
        ((1, 1, 19, dims), dtype, 7, 'tail', 'plain')
        for dtype, dims in itertools.product(DTYPES[::3], [1, 8, 50, 72, 130])
    ),
    # Windows from one step to beyond the sequence, every mask.
    *(
        ((2, 1, 41, 16), torch.float32, window, kind, 'plain')
        for window, kind in itertools.product([1, 19, 79, 1001], MASKS)
    ),
    # More steps than a tile holds, windows of one and of several chunks, and wider than the cache.
    ((1, 1, 140, 32), torch.float32, 19, 'tail', 'plain'),
    ((1, 1, 131, 32), torch.bfloat16, 401, 'holes', 'plain'),
    ((1, 1, 47, 128), torch.float32, 63, 'none', 'plain'),
    ((1, 1, 37, 128), torch.float64, 63, 'tail', 'plain'),
    ((1, 1, 83, 128), torch.float32, 301, 'tail', 'plain'),
    ((1, 1, 83, 128), torch.float32, 61, 'holes', 'plain'),
    *(((2, 2, steps, 8), torch.float32, 7, 'none', 'plain') for steps in (1, 2, 31)),
    *(
        ((2, 1, 43, dims), dtype, 9, 'holes', 'columns')
        for dtype, dims in itertools.product(DTYPES, [32, 50, 128, 200])
    ),
    *(
        ((2, 2, 13, dims), dtype, 5, 'holes', layout)
        for layout, dtype, dims in itertools.product(
            ['heads inside', 'offset', 'slice'], DTYPES[::2], [32, 100]
        )
    ),
]

HALVES = [torch.float16, torch.bfloat16]
TENSOR_CORE_SPECS = [
    (*spec, True)
    for spec in [
        *(
            ((1, 1, steps, 32), dtype, 19, 'none', 'plain')
            for dtype, steps in itertools.product(HALVES, [1, 15, 16, 17, 64, 75, 131])
        ),
        *(
            ((2, 2, 41, 16), torch.bfloat16, window, kind, 'plain')
            for window, kind in itertools.product([1, 19, 33, 63], MASKS)
        ),
        *(
            ((1, 1, 75, dims), dtype, 19, 'holes', layout)
            for dtype, dims, layout in itertools.product(
                HALVES, [48, 64, 128], ['plain', 'columns']
            )
        ),
        *(
            ((1, 2, 75, dims), torch.float16, 35, 'tail', layout)
            for dims, layout in [(80, 'heads inside'), (112, 'offset'), (50, 'slice')]
        ),
        *(((1, 1, 131, 128), dtype, 63, 'holes', 'plain') for dtype in HALVES),
    ]
]

SMALL = 1500  # Bytes of shared memory: too few for the longer rows, which are read where they lie.
FUSION_SPECS = [
    *(
        ((2, 3, 64, dtype), window, kind, residual)
        for dtype, window, kind, residual in itertools.product(
            DTYPES, [1, 19, None], MASKS, [True, False]
        )
    ),
    *(
        ((2, 2, steps, torch.float32), window, kind, True)
        for steps, window, kind in itertools.product(
            [1, 2, 7, 131], [1, 7, 63, 1301, None], ['none', 'holes']
        )
    ),
    # Windows about as wide as a vector, and about as wide as those that are summed one by one.
    *(
        ((1, 2, 131, dtype), window, 'holes', True)
        for dtype, window in itertools.product(DTYPES, [3, 5, 9, 17, 21])
    ),
    ((1, 1, 4096, torch.bfloat16), 63, 'tail', True),
    ((1, 3, 2304, torch.float32), 19, 'holes', True),
]
FUSION_SPECS = [
    ((n, c, t), dtype, window, kind, 'plain', residual, 227 * 1024)
    for (n, c, t, dtype), window, kind, residual in FUSION_SPECS
] + [
    *(
        ((2, 3, steps), dtype, 19, 'holes', layout, True, limit)
        for steps, dtype, layout, limit in itertools.product(
            [40, 509, 520], DTYPES[::3], ['offset', 'slice'], [SMALL, 227 * 1024]
        )
    ),
]


def test_local_attention(program, tmp_path):
    check_attention(program, tmp_path, ATTENTION_SPECS)


def test_tensor_cores(program, tmp_path):
    check_attention(program, tmp_path, TENSOR_CORE_SPECS)


def test_tensor_cores_take_what_fits_them(program, tmp_path):
    """They take half types, up to 128 channels, and windows that fit shared memory."""
    specs = [
        ((1, 1, 75, 64), torch.bfloat16, 19),
        ((1, 1, 75, 64), torch.float32, 19),
        ((1, 1, 75, 130), torch.bfloat16, 19),
        ((1, 1, 401, 128), torch.bfloat16, 401),
    ]
    cases = [
        attention_cases(*spec, 'none', 'plain', tensor_cores)[0]
        for spec in specs
        for tensor_cores in (True, False)
    ]
    outputs = [out for out, _ in run_cases(program, tmp_path, cases)]
    same = [torch.equal(a, b) for a, b in zip(outputs[::2], outputs[1::2])]
    assert same == [False, True, True, True]


def test_local_attentive_fusion(program, tmp_path):
    check_fusion(program, tmp_path, FUSION_SPECS)


@pytest.mark.slow
def test_sanitised(sanitised, tmp_path):
    """Addresses, alignment and overflow, on cases that reach every branch of the kernels."""
    check_attention(
        sanitised,
        tmp_path,
        [
            ((2, 1, 37, 32), torch.float32, 19, 'holes', 'plain'),
            ((1, 2, 37, 128), torch.bfloat16, 19, 'tail', 'heads inside'),
            ((1, 2, 37, 100), torch.bfloat16, 19, 'tail', 'columns'),
            ((1, 1, 131, 32), torch.float16, 301, 'none', 'plain'),
            ((1, 2, 19, 100), torch.float64, 7, 'holes', 'offset'),
            ((1, 1, 70, 70), torch.bfloat16, 201, 'all', 'plain'),
            ((1, 2, 37, 112), torch.bfloat16, 19, 'tail', 'heads inside', True),
            ((1, 2, 77, 100), torch.float16, 63, 'holes', 'columns', True),
            ((2, 1, 1, 16), torch.float16, 1, 'all', 'offset', True),
        ],
    )
    check_fusion(
        sanitised,
        tmp_path,
        [
            ((2, 3, steps), dtype, window, 'holes', layout, True, limit)
            for steps, dtype, window, layout, limit in itertools.product(
                [53, 520], DTYPES[::3], [19, None], ['plain', 'slice'], [SMALL, 227 * 1024]
            )
        ],
    )


@pytest.mark.parametrize(
    'dtype, dims, tensor_cores',
    [
        (torch.float32, 32, False),
        (torch.float32, 128, False),
        (torch.bfloat16, 64, True),
        (torch.float16, 128, True),
    ],
)
@pytest.mark.parametrize('index', ATTENTION_REACH)
def test_nan_stays_in_its_windows_of_attention(
    program, tmp_path, index, dtype, dims, tensor_cores
):
    made = []
    for step, window in ((20, 7), (39, 19)):
        spoiled, clean = with_nan(make_inputs(3, (1, 1, 45, dims), dtype), index, step)
        expected = Expected(attention_formula, clean, None, window)
        outputs = [torch.empty_like(clean[0]), torch.empty(1, 1, 45)]
        forward = Case('attention', spoiled, outputs, None, window, tensor_cores=tensor_cores)
        made.append((step, window // 2, forward, expected))
    forward = run_cases(program, tmp_path, [case for _, _, case, _ in made])
    backward = [
        replace(
            case,
            op='attention_backward',
            inputs=[expected.grad, *case.inputs, lse],
            outputs=case.outputs[:1] * 3,
        )
        for (_, _, case, expected), (_, lse) in zip(made, forward)
    ]
    for (step, radius, _, expected), (out, _), grads in zip(
        made, forward, run_cases(program, tmp_path, backward)
    ):
        check_reach(expected, out, grads, ATTENTION_REACH[index], step, radius)


@pytest.mark.parametrize('steps', [60, 61])
@pytest.mark.parametrize('limit', [SMALL, 227 * 1024])
@pytest.mark.parametrize('index', FUSION_REACH)
def test_nan_stays_in_its_windows_of_fusion(program, tmp_path, index, limit, steps):
    made, cases = [], []
    for step, window in ((20, 7), (55, 19), (30, 25)):
        spoiled, clean = with_nan(make_inputs(3, (1, 3, steps)), index, step)
        expected = Expected(fusion_formula, clean, None, window, True)
        outputs = [torch.empty_like(clean[0])]
        cases += [
            Case('fusion', spoiled, outputs, None, window, True, limit),
            Case(
                'fusion_backward',
                [expected.grad, *spoiled],
                outputs * 3,
                None,
                window,
                True,
                limit,
            ),
        ]
        made.append((step, window // 2, expected))
    results = run_cases(program, tmp_path, cases)
    for (step, radius, expected), (out,), grads in zip(made, results[::2], results[1::2]):
        check_reach(expected, out, grads, FUSION_REACH[index], step, radius)


def check_reach(expected, out, grads, reach, step, radius):
    pairs = zip((out, *grads), (expected.out, *expected.grads))
    for (ours, theirs), factor in zip(pairs, reach):
        check_nan_reaches(ours, theirs, step, None if factor is None else factor * radius)


@pytest.mark.parametrize('op', ['attention_backward', 'fusion_backward'])
def test_only_the_gradients_that_are_needed(program, tmp_path, op):
    shape = (1, 2, 37, 32) if op == 'attention_backward' else (2, 3, 37)
    grad, *inputs = make_inputs(4, shape)
    outputs = [torch.empty(shape)] * 3
    if op == 'attention_backward':
        forward = Case('attention', inputs, [outputs[0], torch.empty(shape[:3])], None, 9)
        inputs = [*inputs, run_cases(program, tmp_path, [forward])[0][1]]
    choices = list(itertools.product([True, False], repeat=3))
    cases = [Case(op, [grad, *inputs], outputs, None, 9, needs=needs) for needs in choices]
    every, *others = run_cases(program, tmp_path, cases)
    for needs, some in zip(choices[1:], others):
        for ours, theirs, needed in zip(some, every, needs):
            assert torch.equal(ours, theirs) if needed else ours.isnan().all()


def test_shared_memory_of_small_gpus(program, tmp_path):
    """A block of sm_86 and sm_89 has 99 KB; the kernels do with that for every dtype and width."""
    cases = [
        Case('attention_backward', [*make_inputs(4, shape, dtype), torch.zeros(shape[:3]).to(acc)],
             [torch.empty(shape, dtype=dtype)] * 3, None, window, shared_limit=99 * 1024, orders=1)
        for dtype, acc in ((torch.float64, torch.float64), (torch.float32, torch.float32))
        for shape in ((1, 1, 20, 129), (1, 1, 20, 256))
        for window in (5, 39)
    ]  # fmt: skip
    run_cases(program, tmp_path, cases)


def test_finds_a_missing_barrier(program):
    assert subprocess.run([program, 'race']).returncode == 4


@pytest.mark.parametrize(
    'how, answers, problem',
    [
        ('agrees', '1', None),
        ('differs', '0', 'their results differ'),
        ('throws', '0', 'they fail: no kernel image'),
    ],
)
def test_check_on_first_use(program, how, answers, problem):
    """Each device is checked once, and a failure warns once for it."""
    done = subprocess.run([program, 'first_use', how], capture_output=True, text=True, check=True)
    warnings = [[], []] if problem is None else [[f'GPU {i}: {problem}'] for i in range(2)]
    expected = [*warnings[0], answers, answers, *warnings[1], answers, answers, '2 checks']
    assert done.stdout.splitlines() == expected
