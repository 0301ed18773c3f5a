"""The CUDA sources compile for the GPUs they are for. Nothing here runs on a GPU."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

CSRC = Path(__file__).resolve().parents[2] / 'mmtad_decomp' / 'ops' / 'csrc'
TORCH_HEADERS = Path(torch.__file__).parent / 'include'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which('nvcc') is None, reason='needs nvcc, of the CUDA toolkit'),
]

KERNELS = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/local_attention_backward_kernels.cuh"
#include "cuda/local_attention_kernels.cuh"
#include "cuda/local_attentive_fusion_kernels.cuh"

namespace mmtad {
namespace cuda {
#define ATTENTION(kernel, scalar, dims) \\
  template __global__ void kernel<scalar, dims>(AttentionArgs<scalar>);
#define ALL_ATTENTION(scalar, dims) \\
  ATTENTION(local_attention_kernel, scalar, dims) \\
  ATTENTION(local_attention_grad_query_kernel, scalar, dims) \\
  ATTENTION(local_attention_grad_key_value_kernel, scalar, dims)
#define FUSION(kernel, scalar) \\
  template __global__ void kernel<scalar, true>(FusionArgs<scalar>); \\
  template __global__ void kernel<scalar, false>(FusionArgs<scalar>);
#define ALL(scalar) \\
  ALL_ATTENTION(scalar, 32) ALL_ATTENTION(scalar, 64) \\
  ALL_ATTENTION(scalar, 128) ALL_ATTENTION(scalar, 256) \\
  FUSION(global_fusion_kernel, scalar) FUSION(global_fusion_backward_kernel, scalar) \\
  FUSION(local_fusion_kernel, scalar) FUSION(local_fusion_backward_kernel, scalar)
ALL(SCALAR)
}
}
"""


def nvcc(*arguments):
    done = subprocess.run(
        ['nvcc', '--expt-relaxed-constexpr', f'-I{CSRC}', *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize('arch, scalar', [('sm_90', '__nv_bfloat16'), ('sm_80', 'float')])
def test_kernels(tmp_path, arch, scalar):
    """Registers stay within what a block of threads can have, and next to nothing is spilled."""
    source = tmp_path / 'kernels.cu'
    source.write_text(KERNELS)
    flags = ['-std=c++17', '-O3', '-cubin', f'-arch={arch}', f'-DSCALAR={scalar}', '-Xptxas=-v']
    report = nvcc(*flags, source, '-o', tmp_path / 'kernels.cubin')
    spilled = [int(size) for size in re.findall(r'(\d+) bytes spill loads', report)]
    assert len(spilled) == 3 * 4 + 4 * 2 + 1
    assert max(spilled) <= 32


@pytest.mark.parametrize('name', ['local_attention', 'local_attentive_fusion'])
def test_launchers(tmp_path, name):
    """The launchers agree with torch's headers; a torch without CUDA lacks one of them."""
    missing = tmp_path / 'c10' / 'cuda' / 'impl' / 'cuda_cmake_macros.h'
    if not (TORCH_HEADERS / missing.relative_to(tmp_path)).exists():
        missing.parent.mkdir(parents=True)
        missing.write_text('#pragma once\n')
    source = CSRC / 'cuda' / f'{name}.cu'
    # C++20: what the newest torch's headers ask for. PTX only: test_kernels goes on from there.
    flags = ['-std=c++20', '-O0', '-Xcicc=-O0', '-c', '-gencode=arch=compute_90,code=compute_90']
    nvcc(*flags, f'-I{tmp_path}', f'-isystem={TORCH_HEADERS}', source, '-o', tmp_path / 'x.o')
