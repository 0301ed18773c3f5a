"""The decision on precision, by what the machine says it can do."""

import pytest
import torch

from mmtad_decomp.utils import choose_precision, fast_dtype, half_dtype, hardware, processor_name

CPU, GPU = torch.device('cpu'), torch.device('cuda')


@pytest.fixture
def cpu(monkeypatch):
    """Sets the flags that torch finds on the processor."""

    def set_flags(*flags):
        found = {'avx2': True, 'avx512_bf16': False, 'cpu_name': 'bf16', 'l2_cache_size': 1}
        found |= dict.fromkeys(flags, True)
        monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: found, raising=False)
        monkeypatch.setattr(hardware, 'processor_name', lambda: 'Some CPU')

    return set_flags


@pytest.fixture
def gpu(monkeypatch):
    """Sets the capability of the GPU."""

    def set_capability(*capability):
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Some GPU')
        monkeypatch.setattr(torch.version, 'hip', None)

    return set_capability


@pytest.mark.parametrize(
    'flags, dtype, reason',
    [
        ((), torch.float32, 'would emulate bfloat16'),
        (('avx512_f', 'avx512_bw', 'avx512_vnni'), torch.float32, 'would emulate bfloat16'),
        (('amx_tile', 'amx_int8'), torch.float32, 'would emulate bfloat16'),
        (('avx512_f', 'avx512_bf16'), torch.bfloat16, 'has AVX512_BF16'),
        (('avx512_bf16', 'amx_tile', 'amx_bf16'), torch.bfloat16, 'has AMX'),
        (('neon', 'bf16'), torch.bfloat16, 'has Arm BF16'),
    ],
)
def test_cpus(flags, dtype, reason, cpu):
    cpu(*flags)
    chosen, why = fast_dtype(CPU)
    assert chosen is dtype and why.startswith('Some CPU') and reason in why
    assert half_dtype(CPU) is torch.bfloat16


@pytest.mark.parametrize(
    'line, dtype',
    [
        ('flags\t\t: fpu avx2 avx512f', torch.float32),
        ('flags\t\t: fpu avx512f avx512_bf16', torch.bfloat16),
        ('Features\t: fp asimd bf16 i8mm', torch.bfloat16),
        ('Features\t: fp asimd', torch.float32),
        (None, torch.float32),
    ],
)
def test_cpus_by_cpuinfo_where_torch_does_not_tell(line, dtype, tmp_path, monkeypatch):
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    path = tmp_path / 'cpuinfo'
    if line is not None:
        path.write_text(f'processor\t: 0\nmodel name\t: Some CPU\n{line}\n\nprocessor\t: 1\n')
    monkeypatch.setattr(hardware, '_CPUINFO', path)
    assert fast_dtype(CPU)[0] is dtype


@pytest.mark.parametrize(
    'capability, dtype',
    [((6, 1), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
    + [((9, 0), torch.bfloat16), ((12, 0), torch.bfloat16)],
)
def test_gpus(capability, dtype, gpu):
    gpu(*capability)
    chosen, why = fast_dtype(GPU)
    assert chosen is dtype and why.startswith('Some GPU')
    assert half_dtype(GPU) is dtype
    assert choose_precision('auto', GPU).dtype is dtype


def test_an_amd_gpu(gpu, monkeypatch):
    gpu(7, 0)
    monkeypatch.setattr(torch.version, 'hip', '6.0')
    assert fast_dtype(GPU)[0] is torch.bfloat16


def test_other_devices_stay_in_float32():
    dtype, reason = fast_dtype(torch.device('mps'))
    assert dtype is torch.float32 and 'mps' in reason


def test_explicit_choices_win(cpu, gpu):
    cpu()
    precision = choose_precision('bfloat16', CPU)
    assert precision.dtype is torch.bfloat16 and precision.slow
    assert 'slower than float32, since Some CPU would emulate bfloat16' in precision.reason
    cpu('amx_bf16')
    precision = choose_precision('bfloat16', CPU)
    assert precision.dtype is torch.bfloat16 and not precision.slow
    assert choose_precision('float32', CPU).dtype is torch.float32
    gpu(7, 5)
    assert choose_precision('bfloat16', GPU).slow
    assert not choose_precision('float16', GPU).slow
    gpu(9, 0)
    assert choose_precision('float16', GPU).dtype is torch.float16


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="dtype='float16' needs a GPU"):
        choose_precision('float16', CPU)
    with pytest.raises(ValueError, match="dtype='fp16' is unknown; set one of auto, bfloat16"):
        choose_precision('fp16', CPU)


def test_this_machine_has_a_name_and_an_answer():
    assert processor_name()
    assert fast_dtype(CPU)[0] in (torch.float32, torch.bfloat16)
