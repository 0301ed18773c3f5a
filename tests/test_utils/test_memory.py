"""keep_freed_memory: page faults of a large tensor that is made again and again."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mmtad_decomp.utils import keep_freed_memory, memory

# Imports the module alone, since the whole package takes seconds.
FAULTS = f"""
import resource, statistics, sys
import torch
sys.path.insert(0, {str(Path(memory.__file__).parent)!r})
from memory import keep_freed_memory

def faults():
    counts = []
    for turn in range(9):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(24_000_000).add_(1)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return statistics.median(counts)  # Now and then malloc takes another block.

print(faults(), keep_freed_memory(), faults())
"""


@pytest.fixture
def environment(monkeypatch):
    """No choice of the user's."""
    for name, value in list(os.environ.items()):
        if memory._is_choice(f'{name}={value}'):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
def test_a_large_tensor_is_not_faulted_in_again(environment):
    command = [sys.executable, '-W', 'ignore', '-c', FAULTS]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, done, after = output.split()[-3:]
    assert done == 'True'
    # 96 MB are 23,438 pages of 4 kB, or 46 of 2 MB.
    assert int(after) < 20 < int(before)


@pytest.mark.parametrize(
    'name, value',
    [
        ('MALLOC_MMAP_THRESHOLD_', '1000000'),
        ('MALLOC_TRIM_THRESHOLD_', '1000000'),
        ('GLIBC_TUNABLES', 'glibc.malloc.top_pad=1'),
        ('LD_PRELOAD', '/usr/lib/libjemalloc.so.2'),
    ],
)
def test_the_choice_of_the_user_wins(name, value, environment, capsys):
    environment.setattr(platform, 'libc_ver', lambda: ('glibc', '2.36'))
    environment.setattr(ctypes, 'CDLL', lambda name: pytest.fail('malloc was changed'))
    environment.setenv(name, value)
    assert not keep_freed_memory()


def test_other_c_libraries_are_left_alone(environment):
    environment.setattr(platform, 'libc_ver', lambda: ('', ''))
    environment.setattr(ctypes, 'CDLL', lambda name: pytest.fail('malloc was changed'))
    assert not keep_freed_memory()


def test_other_variables_are_no_choice():
    assert not memory._is_choice('MALLOC_ARENA_MAX=2')
    assert not memory._is_choice('GLIBC_TUNABLES=glibc.pthread.rseq=0')
    assert not memory._is_choice('LD_PRELOAD=libfoo.so')
