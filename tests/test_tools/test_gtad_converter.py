"""Converted weights give what the official network gives, written out here from its definition."""

import math

import pytest
import torch
import torch.nn.functional as F
from tool_runner import run_tool

from mmtad_decomp.models.heads import GTADHead
from mmtad_decomp.utils import CheckpointError, OutputPathError
from tools.model_converters.gtad import convert_state_dict, head_settings, main

NEIGHBORS, GROUPS, WIDTH = 3, 32, 4
THUMOS = dict(feat=2048, dims=256, map3d=512, map2d=128, inner=16, context=16)
ACTIVITYNET = dict(feat=400, dims=256, map3d=512, map2d=128, inner=32, context=4, kernel=1)
TINY = dict(feat=8, dims=8, map3d=6, map2d=5, inner=4, context=4)


def official_shapes(feat, dims, map3d, map2d, inner, context, kernel=3):
    """Shapes of the official state dict's weights, by name; biases have their first axis."""
    width = GROUPS * WIDTH
    shapes = {'backbone1.0': (dims, feat // 4, 3)}
    for block in ('backbone1.2', 'regu_s.0', 'regu_e.0', 'backbone2.0'):
        shapes[f'{block}.tconvs.0'] = (width, dims, 1)
        shapes[f'{block}.tconvs.2'] = (width, WIDTH, 3)
        shapes[f'{block}.tconvs.4'] = (dims, width, 1)
        shapes[f'{block}.sconvs.0'] = (width, 2 * dims, 1, 1)
        shapes[f'{block}.sconvs.2'] = (width, WIDTH, 1, 1)
        shapes[f'{block}.sconvs.4'] = (dims, width, 1, 1)
    shapes['regu_s.1'] = shapes['regu_e.1'] = (1, dims, 1)
    shapes['localization.0'] = (map3d, dims * (inner + context), 1, 1)
    shapes['localization.2'] = (map2d, map3d, 1, 1)
    shapes['localization.4'] = shapes['localization.6'] = (map2d, map2d, kernel, kernel)
    shapes['localization.8'] = (2, map2d, 1, 1)
    return shapes


def official_weights(seed=0, **sizes):
    """Random weights of a scale that keeps the network's values near 1."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in official_shapes(**sizes).items():
        draw = torch.randn(*shape, dtype=torch.float64, generator=generator)
        weights[f'{name}.weight'] = draw / math.prod(shape[1:]) ** 0.5
        weights[f'{name}.bias'] = 0.1 * torch.randn(
            shape[0], dtype=torch.float64, generator=generator
        )
    return weights


class Official:
    """G-TAD on one sequence without padding, in float64, everything held."""

    def __init__(self, weights, durations, inner, context):
        self.weights = weights
        self.durations = durations
        self.samples = (inner, context)

    def conv(self, name, x, **kwargs):
        weight, bias = self.weights[f'{name}.weight'], self.weights[f'{name}.bias']
        return (F.conv1d if x.ndim == 3 else F.conv2d)(x, weight, bias, **kwargs)

    @staticmethod
    def neighbors(x):
        """``(1, C, T)`` to the nearest steps' features ``(1, C, T, k)``."""
        distances = torch.cdist(x[0].T, x[0].T)
        return x[:, :, distances.argsort(dim=1)[:, :NEIGHBORS]]

    def block(self, name, x):
        hidden = self.conv(f'{name}.tconvs.0', x).relu()
        hidden = self.conv(f'{name}.tconvs.2', hidden, padding=1, groups=GROUPS).relu()
        temporal = self.conv(f'{name}.tconvs.4', hidden)
        near = self.neighbors(x)
        edges = torch.cat((near, x[..., None].expand_as(near)), dim=1)
        edges = self.conv(f'{name}.sconvs.0', edges).relu()
        edges = self.conv(f'{name}.sconvs.2', edges, groups=GROUPS).relu()
        return (temporal + x + self.conv(f'{name}.sconvs.4', edges).amax(dim=3)).relu()

    @staticmethod
    def read(x, position):
        """``(C, T)`` at a position, after G-TAD's CUDA kernel."""
        last = x.shape[1] - 1
        if position < -1 or position > last + 1:
            return torch.zeros_like(x[:, 0])
        position = min(max(position, 0.0), float(last))
        low = int(position)
        high = min(low + 1, last)
        return x[:, low] * (low + 1 - position) + x[:, high] * (position - low)

    def align(self, x, begin, end, samples):
        span = max(end - begin, 1.0)
        size = span / samples
        grid = math.ceil(size)
        bins = []
        for r in range(samples):
            reads = [self.read(x, begin + r * size + (i + 0.5) * size / grid) for i in range(grid)]
            bins.append(sum(reads) / grid)
        return torch.stack(bins, dim=1)

    def subgraphs(self, x):
        """``(1, C R, D, T)``."""
        steps = x.shape[2]
        mean = self.neighbors(x).mean(dim=3)[0]
        maps = x.new_zeros(1, x.shape[1] * sum(self.samples), self.durations, steps)
        for s in range(steps):
            for d in range(self.durations):
                reach = 0.5 * (d + 1)
                span = (s - reach, s + d + reach) if s + d < steps else (0.0, 0.0)
                parts = [
                    self.align(feats, *span, count)
                    for feats, count in zip((x[0], mean), self.samples)
                ]
                maps[0, :, d, s] = torch.cat(parts, dim=1).flatten()
        return maps

    def __call__(self, feats):
        base = self.block(
            'backbone1.2', self.conv('backbone1.0', feats, padding=1, groups=4).relu()
        )
        maps = self.subgraphs(self.block('backbone2.0', base))
        for layer in (0, 2, 4, 6):
            padding = self.weights[f'localization.{layer}.weight'].shape[-1] // 2
            maps = self.conv(f'localization.{layer}', maps, padding=padding).relu()
        nodes = [
            self.conv(f'{name}.1', self.block(f'{name}.0', base))[:, 0].sigmoid()
            for name in ('regu_s', 'regu_e')
        ]
        return self.conv('localization.8', maps).sigmoid(), *nodes


@pytest.mark.parametrize(
    'sizes, steps, durations', [(THUMOS, 9, 5), (ACTIVITYNET, 6, 6), (TINY, 7, 9)]
)
def test_parity(sizes, steps, durations):
    weights = official_weights(**sizes)
    converted = convert_state_dict(weights)
    settings = head_settings(converted)
    assert settings['map_branch']['align'] == dict(
        num_inner=sizes['inner'], num_context=sizes['context']
    )
    head = GTADHead(max_duration=durations, **settings).double()
    head.load_state_dict(converted, strict=True)
    feats = torch.randn(
        1, sizes['feat'], steps, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    expected = Official(weights, durations, sizes['inner'], sizes['context'])(feats)
    with torch.no_grad():
        outputs = head(feats, torch.ones(1, steps, dtype=torch.bool))
    torch.testing.assert_close(outputs.reg_logits.sigmoid(), expected[0][:, 0])
    torch.testing.assert_close(outputs.cls_logits.sigmoid(), expected[0][:, 1:])
    torch.testing.assert_close(outputs.start_logits.sigmoid(), expected[1])
    torch.testing.assert_close(outputs.end_logits.sigmoid(), expected[2])
    assert expected[0].std() > 0.01


def test_command_line(tmp_path):
    source, target = tmp_path / 'GTAD_best.pth.tar', tmp_path / 'new' / 'gtad.pth'
    weights = official_weights(**TINY)
    state = {f'module.{name}': value for name, value in weights.items()}
    torch.save({'epoch': 3, 'state_dict': state}, source)
    result = run_tool(main, source, target)
    assert result.returncode == 0, result.stderr
    content = torch.load(target, weights_only=True)
    assert len(content['state_dict']) == len(weights)
    assert all(name.startswith('head.') for name in content['state_dict'])
    assert "dict(type='GTADHead', num_classes=1, in_channels=8" in result.stdout
    before = source.read_bytes()
    with pytest.raises(OutputPathError, match='would be replaced'):
        main([str(source), str(source)])
    assert source.read_bytes() == before


def test_errors_leave_no_file(tmp_path):
    target = tmp_path / 'out.pth'
    with pytest.raises(FileNotFoundError, match='nowhere'):
        main([str(tmp_path / 'nowhere.pth'), str(target)])
    torch.save({'state_dict': {'backbone.conv1.weight': torch.ones(1)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'not those of G-TAD: backbone\.conv1'):
        main([str(tmp_path / 'other.pth'), str(target)])
    assert not target.exists()


def test_other_checkpoints_are_refused():
    weights = official_weights(**TINY)
    with pytest.raises(CheckpointError, match=r'backbone1\.1\.weight'):
        convert_state_dict({**weights, 'backbone1.1.weight': torch.ones(1)})
    without = {name: value for name, value in weights.items() if name != 'regu_e.1.bias'}
    with pytest.raises(CheckpointError, match=r'end_branch\.predictor\.bias'):
        convert_state_dict(without)
    odd = {**weights, 'localization.0.weight': torch.ones(6, 9, 1, 1)}
    with pytest.raises(CheckpointError, match=r'localization\.0\.weight has 9'):
        convert_state_dict(odd)


def test_weights_that_the_head_cannot_load_are_not_written(tmp_path):
    """Their names are all there, but one shape is another model's."""
    weights = official_weights(**TINY)
    weights['localization.6.weight'] = torch.zeros(5, 5, 1, 1)
    source, target = tmp_path / 'src.pth', tmp_path / 'gtad.pth'
    torch.save(weights, source)
    with pytest.raises(CheckpointError, match=r'do not fit GTADHead: .*map_branch\.convs\.1'):
        main([str(source), str(target)])
    assert not target.exists()
