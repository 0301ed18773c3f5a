"""tools/analysis_tools/get_flops.py: small layers counted by hand, and the parts of detectors."""

import copy
import json

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from small_heads import HEADS, features, head_config
from tiny_training import config

from mmtad_decomp.models.layers import MaskedConv1d, SGAlignConv
from mmtad_decomp.models.layers.sg_align import sample_positions
from mmtad_decomp.ops import DEVICES, local_attention, local_attentive_fusion
from mmtad_decomp.ops.complexity import FLOP_HANDLES, window_pairs
from tools.analysis_tools import get_flops
from tools.command_line import run_main
from tools.config_reading import frame_size

needs_operators = pytest.mark.skipif('cpu' not in DEVICES, reason='operators are not built')


class Operator(torch.nn.Module):
    """A function with fixed options as a module."""

    def __init__(self, function, *options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, *tensors):
        return self.function(*tensors, *self.options)


def flops(module, *inputs):
    """FLOPs that MMEngine's analyzer counts with the handles of this project."""
    analyzer = FlopAnalyzer(module.eval(), inputs).set_op_handle(**FLOP_HANDLES)
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        return analyzer.total()


@pytest.mark.parametrize('steps', [1, 2, 5, 12])
@pytest.mark.parametrize('window', [1, 3, 7, 99, None])
def test_pairs_within_a_window(steps, window):
    reach = steps if window is None else window // 2
    pairs = sum(abs(i - j) <= reach for i in range(steps) for j in range(steps))
    assert window_pairs(steps, window) == pairs


@needs_operators
@pytest.mark.parametrize('window, pairs', [(3, 5 + 4 + 4), (1, 5), (99, 25), (None, 25)])
def test_local_attention(window, pairs):
    """5 steps: 2 heads of 8 channels, 3 samples."""
    inputs = [torch.randn(3, 2, 5, 8) for _ in range(3)]
    mask = torch.ones(3, 5, dtype=torch.bool)
    counted = flops(Operator(local_attention, window), *inputs, mask)
    assert counted == 3 * 2 * pairs * (8 + 8)


@needs_operators
@pytest.mark.parametrize('window', [3, None])
def test_local_attentive_fusion(window):
    inputs = [torch.randn(2, 4, 7) for _ in range(3)]
    mask = torch.ones(2, 7, dtype=torch.bool)
    assert flops(Operator(local_attentive_fusion, window), *inputs, mask) == 3 * 2 * 4 * 7


def test_convolution():
    """Kernel 3, stride 2, two groups: 5 outputs, each from 3 taps of 4 of the 8 channels."""
    conv, mask = MaskedConv1d(8, 6, 3, stride=2, groups=2), torch.ones(1, 10, dtype=torch.bool)
    assert flops(conv, torch.randn(1, 8, 10), mask) == 5 * 6 * 3 * 4


def test_alignment_of_gtad_counts_what_is_read():
    """Each position that a pair reads is interpolated from two steps of every channel."""
    steps, durations, samples, out = 9, 4, 3, 5
    align = SGAlignConv(2, out, durations, num_inner=samples, num_context=0)
    taps = set()
    for duration in range(durations):
        for sample, positions in enumerate(sample_positions(duration, samples, 0.5).tolist()):
            for position in positions:
                below = int(position // 1)
                taps.add((duration, sample, 0, below))
                if position != below:
                    taps.add((duration, sample, 1, below))
    projection = steps * 2 * samples * out
    placeholder = 2 * samples * out
    counted = flops(align, torch.randn(1, 2, steps), torch.ones(1, steps, dtype=torch.bool))
    assert counted == projection + placeholder + len(taps) * steps * out


def count(model, length=8, size=(32, 32)):
    torch.manual_seed(0)
    return get_flops.count_complexity(model, *get_flops.example_batch(model, length, size))


@pytest.mark.parametrize('kind', ['decomp', 'conventional', 'baseline'])
def test_only_what_runs_at_inference_counts(kind):
    cfg = Config.fromfile(config(kind))
    model = get_flops.build_for_inference(cfg)
    parts = count(model)
    expected = ['backbone', 'neck', *(['fusion'] if kind == 'decomp' else []), 'head', 'total']
    assert list(parts) == expected
    total = parts.pop('total')
    assert all(part.flops > 0 for name, part in parts.items())
    assert total.flops == sum(part.flops for part in parts.values())
    assert total.parameters == sum(part.parameters for part in parts.values())
    assert total.parameters == sum(p.numel() for p in model.parameters())
    assert not [name for name, _ in model.named_modules() if 'teacher' in name or 'shared' in name]


def test_conventional_distillation_costs_nothing_and_a_second_branch_its_neck():
    plain, distilled, decomposed = (
        count(get_flops.build_for_inference(Config.fromfile(config(kind))))
        for kind in ('baseline', 'conventional', 'decomp')
    )
    assert plain == distilled
    assert decomposed['neck'] == tuple(2 * number for number in plain['neck'])
    assert decomposed['head'] == plain['head'] and decomposed['backbone'] == plain['backbone']


@pytest.mark.parametrize('name', HEADS)
def test_every_head(name):
    """A batch of two windows costs twice as much as one."""
    preprocessor = dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput'))
    detector = dict(type='TADDetector', data_preprocessor=preprocessor, head=head_config(name))
    model = get_flops.build_for_inference(Config(dict(model=detector)))
    one, two = (
        get_flops.count_complexity(model, features(n, 32), torch.ones(n, 32, dtype=torch.bool))
        for n in (1, 2)
    )
    assert list(one) == ['head', 'total'] and one['head'] == one['total']
    constant = 2 * one['head'].flops - two['head'].flops  # of queries that are not windows'
    assert abs(constant) < 0.01 * one['head'].flops


def test_flops_grow_with_length_and_size():
    model = get_flops.build_for_inference(Config.fromfile(config('baseline')))
    small, longer, larger = count(model), count(model, length=16), count(model, size=(64, 64))
    assert longer['backbone'].flops == 2 * small['backbone'].flops
    assert larger['backbone'].flops == 4 * small['backbone'].flops
    assert larger['head'] == small['head']


def test_command(tmp_path, capsys):
    path = tmp_path / 'flops.json'
    args = [config('baseline'), '--length', '8', '--size', '32', '32', '--json', str(path)]
    parts = get_flops.main(args)
    content = json.loads(path.read_text())
    assert content['input'] == [1, 8, 3, 32, 32]
    assert content['parts'] == {name: part._asdict() for name, part in parts.items()}
    assert 'backbone' in capsys.readouterr().out
    get_flops.main([args[0], '--length', '8'])
    height, width = frame_size(Config.fromfile(args[0]))
    assert f'input (1, 8, 3, {height}, {width})' in capsys.readouterr().out and height < 224
    wider = get_flops.main([*args, '--cfg-options', 'model.neck.kernel_size=5'])
    assert wider['neck'].parameters > parts['neck'].parameters


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--length', '0'], '--length must be at least 1, got 0'),
        (['--length', '-4'], '--length must be at least 1, got -4'),
        (['--size', '32', '0'], '--size must be at least 1, got 32 0'),
    ],
)
def test_no_window_is_shorter_than_one_step(capsys, options, sentence):
    assert run_main(get_flops.main, [config('baseline'), *options]) == 2
    out = capsys.readouterr()
    assert out.err == f'error: {sentence}\n' and not out.out


def test_features_need_a_length():
    cfg = Config.fromfile(config('baseline'))
    model = dict(copy.deepcopy(cfg.model.to_dict()), backbone=None)
    modality = dict(type='FeatureInput')
    model['data_preprocessor'] = dict(type='TADDataPreprocessor', modality=modality)
    detector = get_flops.build_for_inference(Config(dict(model=model)))
    with pytest.raises(ValueError, match='--length'):
        get_flops.example_batch(detector, None, (1, 1))
    inputs, masks = get_flops.example_batch(detector, 6, (1, 1))
    assert inputs.shape == (1, 128, 6) or inputs.shape[2] == masks.shape[1] == 6
    assert list(get_flops.count_complexity(detector, inputs, masks)) == ['neck', 'head', 'total']
