"""Inputs for the operators, their formulas in float64, and how results are compared."""

import math
import os
import subprocess
import sys
from pathlib import Path

import torch
from light_imports import without_init

ROOT = Path(__file__).resolve().parents[2]

MASKS = ['none', 'tail', 'holes', 'all']

# Largest error, of what a result is at most; rounding of inputs is not counted.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 3e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


def make_mask(kind, batch, steps):
    """``(batch, steps)`` mask: none at all, a padded tail, holes, or one sequence all padded."""
    if kind == 'none':
        return None
    mask = torch.ones(batch, steps, dtype=torch.bool)
    if kind == 'tail':
        for n in range(batch):
            mask[n, steps - ((n + 1) * steps) // 3 :] = False
    elif kind == 'holes':
        mask[:, 1::3] = False
        mask[0, steps // 2 : steps // 2 + 9] = False
    elif kind == 'all':
        mask[0] = False
    return mask


def make_inputs(count, shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for _ in range(count)
    ]


def poison(tensors, invalid):
    """Copies with NaN wherever ``invalid``, broadcast, is True."""
    return [x.masked_fill(invalid.expand_as(x), float('nan')) for x in tensors]


def attention_formula(query, key, value, mask, window):
    """Dense softmax attention with a band mask, in float64."""
    query, key, value = (x.double() for x in (query, key, value))
    steps = query.shape[2]
    index = torch.arange(steps)
    seen = torch.ones(steps, steps, dtype=torch.bool)
    if window is not None:
        seen = (index[:, None] - index[None, :]).abs() <= window // 2
    seen = seen.expand(query.shape[0], 1, steps, steps)
    if mask is not None:
        invalid = ~mask[:, None, :, None]
        query, key, value = (x.masked_fill(invalid, 0) for x in (query, key, value))
        seen = seen & mask[:, None, None, :] & mask[:, None, :, None]
    logits = (query @ key.transpose(2, 3)) / math.sqrt(query.shape[3])
    weights = logits.masked_fill(~seen, -math.inf).softmax(-1).nan_to_num(0.0)
    return weights @ value


def fusion_formula(value, query, key, mask, window, residual):
    """Local attentive fusion with a dense matrix of windows, in float64."""
    value, query, key = (x.double() for x in (value, query, key))
    steps = value.shape[2]
    index = torch.arange(steps)
    seen = torch.ones(steps, steps, dtype=torch.bool)
    if window is not None:
        seen = (index[:, None] - index[None, :]).abs() <= window // 2
    seen = seen.expand(value.shape[0], steps, steps)
    if mask is not None:
        seen = seen & mask[:, None, :]
        value, query, key = (x.masked_fill(~mask[:, None, :], 0) for x in (value, query, key))
    seen = seen.double()
    pooled = (query @ seen.transpose(1, 2)) / seen.sum(-1).clamp(min=1)[:, None, :]
    out = value * (torch.sigmoid(pooled * key) + float(residual))
    return out if mask is None else out.masked_fill(~mask[:, None, :], 0)


def check_against_formula(op, formula, inputs, grad, device, invalid=None):
    """Compare an op's result and gradients, in the inputs' dtype, with those of the formula.

    Where ``invalid`` is True, the op's inputs hold NaN, which must not matter.
    """
    exact = [x.double().requires_grad_() for x in inputs]
    expected = formula(*exact)
    expected.backward(grad.double())
    given = inputs if invalid is None else poison(inputs, invalid)
    given = [x.to(device).detach().requires_grad_() for x in given]
    result = op(*given)
    assert result.dtype == inputs[0].dtype
    result.backward(grad.to(device))
    pairs = [(result, expected), *((x.grad, y.grad) for x, y in zip(given, exact))]
    for ours, theirs in pairs:
        scale = 1 + float(theirs.detach().abs().max()) if theirs.numel() else 1.0
        error = (ours.detach().cpu().double() - theirs).abs()
        assert not error.isnan().any()
        assert (error <= TOLERANCE[ours.dtype] * scale).all(), float(error.max()) / scale


# How many radii of the window a NaN reaches: from a step of one input (the dict's key) to the
# result and the gradients of the three inputs; None where it reaches nothing.
ATTENTION_REACH = {0: (0, 0, 1, 1), 1: (1, 1, 2, 2), 2: (1, 1, 2, None)}
FUSION_REACH = {0: (0, None, 1, 0), 1: (1, 1, 2, 1), 2: (0, 0, 1, 0)}


def with_nan(inputs, index, step):
    """Copies with NaN at one step (dimension 2) of one input, and copies with 0 there."""
    spoiled, clean = [x.clone() for x in inputs], [x.clone() for x in inputs]
    spoiled[index][:, :, step] = float('nan')
    clean[index][:, :, step] = 0
    return spoiled, clean


def check_nan_reaches(tensor, clean, step, distance):
    """NaN up to a distance from a step of dimension 2 (None: nowhere); elsewhere as expected."""
    reached = torch.zeros(tensor.shape[2], dtype=torch.bool)
    if distance is not None:
        reached[max(step - distance, 0) : step + distance + 1] = True
    assert tensor[:, :, reached].isnan().all()
    tolerance = max(1e-5, TOLERANCE[tensor.dtype])
    torch.testing.assert_close(
        tensor[:, :, ~reached].double(), clean[:, :, ~reached], atol=tolerance, rtol=tolerance
    )


def check_nan_stays(op, formula, inputs, index, step, radius, reach, device):
    """A NaN shows in the windows that it belongs to, in results and gradients, and only there."""
    spoiled, clean = with_nan(inputs, index, step)
    exact = [x.double().requires_grad_() for x in clean]
    expected = formula(*exact)
    grad = make_inputs(1, expected.shape, inputs[0].dtype, 9)[0]
    expected.backward(grad.double())
    given = [x.to(device).requires_grad_() for x in spoiled]
    out = op(*given)
    out.backward(grad.to(device))
    pairs = [(out.detach(), expected.detach()), *((x.grad, y.grad) for x, y in zip(given, exact))]
    for (ours, theirs), factor in zip(pairs, reach[index]):
        distance = None if factor is None else factor * radius
        check_nan_reaches(ours.cpu(), theirs, step, distance)


def run_python(code, **environment):
    """Run code in another process, for settings that are read once; return what it prints.

    The code imports modules of the package without what the package imports, which takes seconds.
    """
    light = without_init('mmtad_decomp', 'mmtad_decomp.ops')
    path = os.pathsep.join(map(str, (ROOT, ROOT / 'tests', Path(__file__).parent)))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', light + code],
        env={**os.environ, 'PYTHONPATH': path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
