"""setup.py builds the CUDA extension, where there is nvcc. Nothing here runs on a GPU.

The build is the real one: setup.py's flags, those that torch adds, ninja's rule. Where torch is
one for the CPU, it poses as torch for CUDA, with stubs of the header and libraries that it lacks.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from setuptools import Distribution
from setuptools.command.build_ext import build_ext
from torch.utils import cpp_extension

ROOT = Path(__file__).resolve().parents[2]
TORCH_HEADERS = Path(torch.__file__).parent / 'include'

DRIVER = """
import runpy, sys
import torch
from torch.utils import cpp_extension
if cpp_extension.CUDA_HOME is None:
    cpp_extension.CUDA_HOME, torch.version.cuda = sys.argv[1:3]
sys.argv[:] = ['setup.py', 'build_ext', '--build-lib', sys.argv[3], '--build-temp', sys.argv[4]]
runpy.run_path('setup.py', run_name='__main__')
"""


def load_setup():
    """setup.py as a module."""
    spec = importlib.util.spec_from_file_location('setup_of_the_project', ROOT / 'setup.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cuda_home():
    """The folder of the toolkit that nvcc belongs to."""
    dry = subprocess.run(['nvcc', '--dryrun', 'x.cu'], capture_output=True, text=True).stderr
    return re.search(r'^#\$ TOP=(.+)$', dry, re.M).group(1)


def write_stubs(folder):
    """The header and the libraries of torch for CUDA, empty, for compilers to find."""
    header = folder / 'include' / 'c10' / 'cuda' / 'impl' / 'cuda_cmake_macros.h'
    header.parent.mkdir(parents=True)
    if not (TORCH_HEADERS / header.relative_to(folder / 'include')).exists():
        header.write_text('#pragma once\n')
    (folder / 'lib').mkdir()
    for name in ('c10_cuda', 'torch_cuda', 'cudart'):
        command = ['c++', '-shared', '-x', 'c++', os.devnull, '-o', f'{folder}/lib/lib{name}.so']
        subprocess.run(command, check=True)
    return {'CPATH': str(folder / 'include'), 'LIBRARY_PATH': str(folder / 'lib')}


def build(folder, **environment):
    """Run ``setup.py build_ext`` for CUDA into a folder; return what it prints."""
    command = [sys.executable, '-c', DRIVER, cuda_home(), toolkit_version()]
    done = subprocess.run(
        [*command, f'{folder}/built', f'{folder}/objects'],
        cwd=ROOT,
        env={**os.environ, **write_stubs(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def toolkit_version():
    report = subprocess.run(['nvcc', '--version'], capture_output=True, text=True).stdout
    return re.search(r'release (\d+\.\d+)', report).group(1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('nvcc') is None, reason='needs nvcc, of the CUDA toolkit')
def test_build(tmp_path):
    """The extension compiles and links by the build's own flags; optimising takes ten minutes."""
    compiler = tmp_path / 'c++'  # the last level of optimisation counts
    compiler.write_text('#!/bin/sh\nexec c++ "$@" -O0\n')
    compiler.chmod(0o755)
    build(
        tmp_path,
        FORCE_CUDA='1',
        TORCH_CUDA_ARCH_LIST='9.0',
        NVCC_APPEND_FLAGS='-Xcicc=-O0 -Xptxas=-O1 -Xcompiler=-O0',
        CXX=str(compiler),
    )
    assert (tmp_path / 'built' / 'mmtad_decomp' / '_ext.so').exists()


@pytest.fixture
def other_toolkit(tmp_path, monkeypatch):
    """Pose as torch for CUDA beside the toolkit of another version."""
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho Cuda compilation tools, release 1.0, V1.0\n')
    nvcc.chmod(0o755)
    monkeypatch.setattr(cpp_extension, 'CUDA_HOME', str(tmp_path))
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    monkeypatch.chdir(ROOT)


def build_recorded(monkeypatch, required, cuda_required):
    """Run setup.py's command up to the compilers; return the sources that it would compile."""
    compiled = []
    monkeypatch.setattr(
        build_ext, 'build_extensions', lambda self: compiled.extend(self.extensions)
    )
    monkeypatch.setattr(os, 'environ', os.environ.copy())  # the build sets MAX_JOBS
    setup = load_setup()
    distribution = Distribution({'name': 'x', 'ext_modules': [setup.make_extension(True)]})
    command = setup.make_build_command(required, cuda_required)(distribution)
    command.ensure_finalized()
    command.run()
    return [source for extension in compiled for source in extension.sources]


def test_other_toolkit_falls_back_to_the_cpu(monkeypatch, capsys, other_toolkit):
    """Where the toolkit is not torch's, the operators are built for the CPU, with one sentence."""
    sources = build_recorded(monkeypatch, True, False)
    printed = capsys.readouterr().out
    assert re.search(
        r'^The operators are built for the CPU only: .+\(1\.0\).+\(13\.0\)', printed, re.M
    )
    assert len(re.findall('The operators', printed)) == 1
    assert any('cpu' in source for source in sources)
    assert not any(source.endswith('.cu') for source in sources)


@pytest.mark.parametrize('asked', [None, '1'])
def test_as_many_compilers_as_cores(monkeypatch, other_toolkit, asked):
    """Unless MAX_JOBS says otherwise; a compiler more would slow down the longest one."""
    if asked is None:
        monkeypatch.delenv('MAX_JOBS', raising=False)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {4, 5, 7}, raising=False)
    else:
        monkeypatch.setenv('MAX_JOBS', asked)
    build_recorded(monkeypatch, True, False)
    assert os.environ['MAX_JOBS'] == (asked or '3')


def test_other_toolkit_is_an_error_where_cuda_is_required(monkeypatch, other_toolkit):
    with pytest.raises(RuntimeError, match='CUDA version'):
        build_recorded(monkeypatch, True, True)


def test_architectures():
    architectures = load_setup().cuda_architectures
    assert architectures([]) == '8.0;9.0+PTX'
    assert architectures([(8, 6), (8, 6), (9, 0)]) == '8.0;8.6;9.0+PTX'
    assert architectures([(12, 0)]) == '8.0;9.0;12.0+PTX'
    assert architectures([(7, 5)]) == '8.0;9.0+PTX'
