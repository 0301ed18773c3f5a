"""The report of the environment names what an issue needs."""

import torch

import mmtad_decomp
from mmtad_decomp.collect_env import collect_env
from mmtad_decomp.ops import DEVICES


def test_versions_compiler_and_operators():
    env = collect_env()
    assert env['PyTorch'] == torch.__version__
    assert env['mmtad_decomp'].startswith(f'{mmtad_decomp.__version__} (')
    assert env['mmaction2'].startswith('1.2')
    assert env['mmcv-lite'] != env['mmcv']
    assert env['Compiled operators'] == (', '.join(sorted(DEVICES)) or 'not built')
    assert {'GCC', 'CUDA available', 'Python', 'Processor'} <= set(env)
    assert all(isinstance(value, str) and value for value in env.values())
