"""Converted weights give what the official network gives, written out here from its definition."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tool_runner import run_tool

from mmtad_decomp.models.heads import TadTRHead
from mmtad_decomp.utils import CheckpointError
from tools.model_converters.tadtr import convert_state_dict, head_settings, main

ROOT = Path(__file__).parents[2]
THUMOS = dict(channels=2048, dims=256, hidden=1024, queries=40, classes=20, layers=4)
TINY = dict(channels=12, dims=64, hidden=48, queries=5, classes=3, layers=2)
HEADS, POINTS, BINS = 8, 4, 16


class OfficialNames:
    """Where things are in a ``class_embed``: a namespace that pickles must not need."""


def official_shapes(channels, dims, hidden, queries, classes, layers):
    """Names and shapes of the official state dict, as TadTR's modules make them."""
    shapes = {
        'query_embed.weight': (queries, 2 * dims),
        'input_proj.0.0.weight': (dims, channels, 1),
        'input_proj.0.0.bias': (dims,),
        'input_proj.0.1.weight': (dims,),
        'input_proj.0.1.bias': (dims,),
        'transformer.level_embed': (1, dims),
    }

    def linear(name, rows, columns):
        shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (rows, columns), (rows,)

    def norm(name):
        shapes[f'{name}.weight'] = shapes[f'{name}.bias'] = (dims,)

    def deformable(name):
        for part in ('sampling_offsets', 'attention_weights'):
            linear(f'{name}.{part}', HEADS * POINTS, dims)
        for part in ('value_proj', 'output_proj'):
            linear(f'{name}.{part}', dims, dims)

    linear('transformer.reference_points', 1, dims)
    for i in range(layers):
        for part, norms in (('encoder', 2), ('decoder', 3)):
            layer = f'transformer.{part}.layers.{i}'
            linear(f'{layer}.linear1', hidden, dims)
            linear(f'{layer}.linear2', dims, hidden)
            for k in range(norms):
                norm(f'{layer}.norm{k + 1}')
        deformable(f'transformer.encoder.layers.{i}.self_attn')
        deformable(f'transformer.decoder.layers.{i}.cross_attn')
        attention = f'transformer.decoder.layers.{i}.self_attn'
        shapes[f'{attention}.in_proj_weight'] = (3 * dims, dims)
        shapes[f'{attention}.in_proj_bias'] = (3 * dims,)
        linear(f'{attention}.out_proj', dims, dims)
        linear(f'class_embed.{i}', classes, dims)
        for owner in ('', 'transformer.decoder.'):
            for k, rows in enumerate((dims, dims, 2)):
                linear(f'{owner}segment_embed.{i}.layers.{k}', rows, dims)
    for k, (rows, columns) in enumerate(((dims, BINS * dims), (dims, dims), (1, dims))):
        linear(f'actionness_pred.{2 * k}', rows, columns)
    return shapes


def official_weights(**sizes):
    """Random weights in float64, large enough that every one of them matters."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in official_shapes(**sizes).items():
        gain = 2.0 if name.startswith('actionness') else 1.5
        scale = 1.0 if len(shape) < 2 else gain / math.sqrt(shape[1])
        value = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        if 'norm' in name and name.endswith('weight'):
            value = 1 + 0.3 * value
        weights[name] = value
    for name in weights:
        if name.startswith('transformer.decoder.segment_embed'):
            weights[name] = weights[name.removeprefix('transformer.decoder.')]
    return weights


class Official:
    """TadTR's forward pass on one unpadded window, from its definition, in float64."""

    def __init__(self, weights):
        self.weights = weights

    def linear(self, name, x):
        return F.linear(x, self.weights[f'{name}.weight'], self.weights[f'{name}.bias'])

    def norm(self, name, x):
        weight, bias = self.weights[f'{name}.weight'], self.weights[f'{name}.bias']
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias

    def feed_forward(self, layer, norm, x):
        hidden = self.linear(f'{layer}.linear1', x).relu()
        return self.norm(f'{layer}.{norm}', x + self.linear(f'{layer}.linear2', hidden))

    def deformable(self, name, query, references, feats):
        """``references`` (Q, 1 or 2) in [0, 1]; a hat function per step interpolates."""
        steps, dims = feats.shape
        values = self.linear(f'{name}.value_proj', feats).view(steps, HEADS, -1)
        offsets = self.linear(f'{name}.sampling_offsets', query).view(-1, HEADS, POINTS)
        shares = self.linear(f'{name}.attention_weights', query).view(-1, HEADS, POINTS)
        if references.shape[1] == 1:
            places = references[:, :, None] + offsets / steps
        else:
            places = references[:, :1, None] + offsets / POINTS * references[:, 1:, None] * 0.5
        pixels = places * steps - 0.5
        hats = (1 - (pixels[..., None] - torch.arange(steps)).abs()).clamp(min=0)
        mixed = torch.einsum('qhp,qhpt,thc->qhc', shares.softmax(-1), hats, values)
        return self.linear(f'{name}.output_proj', mixed.reshape(-1, dims))

    def self_attention(self, name, query, value):
        dims = query.shape[1]
        weight, bias = self.weights[f'{name}.in_proj_weight'], self.weights[f'{name}.in_proj_bias']
        parts = [
            F.linear(x, weight[k * dims : (k + 1) * dims], bias[k * dims : (k + 1) * dims])
            for k, x in enumerate((query, query, value))
        ]
        q, k, v = (part.view(len(query), HEADS, -1).transpose(0, 1) for part in parts)
        attention = (q @ k.transpose(1, 2) / math.sqrt(dims // HEADS)).softmax(-1)
        return self.linear(f'{name}.out_proj', (attention @ v).transpose(0, 1).flatten(1))

    def encode(self, feats):
        weights, steps = self.weights, feats.shape[1]
        x = weights['input_proj.0.0.weight'][:, :, 0] @ feats
        x = x + weights['input_proj.0.0.bias'][:, None]
        groups = x.view(32, -1)
        groups = groups - groups.mean(1, keepdim=True)
        groups = groups / (groups.square().mean(1, keepdim=True) + 1e-5).sqrt()
        x = groups.view_as(x).T * weights['input_proj.0.1.weight']
        x = x + weights['input_proj.0.1.bias']
        dims = x.shape[1]
        positions = torch.zeros(steps, dims, dtype=torch.float64)
        for t in range(steps):
            for c in range(dims):
                angle = (t + 1) / (steps + 1e-6) * 2 * math.pi / 10000 ** (c // 2 * 2 / dims)
                positions[t, c] = math.cos(angle) if c % 2 else math.sin(angle)
        positions = positions + weights['transformer.level_embed'][0]
        references = (torch.arange(steps, dtype=torch.float64)[:, None] + 0.5) / steps
        for i in range(sum('encoder' in n and n.endswith('norm1.bias') for n in weights)):
            layer = f'transformer.encoder.layers.{i}'
            mixed = self.deformable(f'{layer}.self_attn', x + positions, references, x)
            x = self.norm(f'{layer}.norm1', x + mixed)
            x = self.feed_forward(layer, 'norm2', x)
        return x

    def segment_delta(self, layer, x):
        for k in range(3):
            x = self.linear(f'segment_embed.{layer}.layers.{k}', x)
            x = x.relu() if k < 2 else x
        return x

    def actionness(self, memory, segments):
        steps, rows = len(memory), []
        for center, width in segments.tolist():
            start = min(max((center - 0.75 * width) * steps, 0), steps)
            span = max(min(max((center + 0.75 * width) * steps, 0), steps) - start, 1)
            count, bins = math.ceil(span / BINS), []
            for b in range(BINS):
                places = [start + span / BINS * (b + (i + 0.5) / count) for i in range(count)]
                inside = torch.tensor([place <= steps for place in places])
                places = torch.tensor([min(place, steps - 1) for place in places])
                hats = (1 - (places[:, None] - torch.arange(steps)).abs()).clamp(min=0)
                bins.append((hats * inside[:, None]).double().mean(0) @ memory)
            rows.append(torch.stack(bins, dim=1).flatten())
        x = torch.stack(rows)
        for k in (0, 2, 4):
            x = self.linear(f'actionness_pred.{k}', x)
            x = x.relu() if k < 4 else x
        return x[:, 0].sigmoid()

    def __call__(self, feats):
        """Logits, segments of all layers and actionness, for ``feats`` (C, T)."""
        memory = self.encode(feats)
        embed, dims = self.weights['query_embed.weight'], memory.shape[1]
        positions, x = embed[:, :dims], embed[:, dims:]
        references = self.linear('transformer.reference_points', positions).sigmoid()
        logits, segments = [], []
        for i in range(sum('decoder' in n and n.endswith('norm3.bias') for n in self.weights)):
            layer = f'transformer.decoder.layers.{i}'
            mixed = self.self_attention(f'{layer}.self_attn', x + positions, x)
            x = self.norm(f'{layer}.norm2', x + mixed)
            read = self.deformable(f'{layer}.cross_attn', x + positions, references, memory)
            x = self.norm(f'{layer}.norm1', x + read)
            x = self.feed_forward(layer, 'norm3', x)
            delta, clamped = self.segment_delta(i, x), references.clamp(1e-5, 1 - 1e-5)
            inverse = (clamped / (1 - clamped)).log()
            delta = torch.cat(
                (delta[:, : inverse.shape[1]] + inverse, delta[:, inverse.shape[1] :]), 1
            )
            references = delta.sigmoid()
            logits.append(self.linear(f'class_embed.{i}', x))
            segments.append(references)
        actionness = self.actionness(memory, references)
        return torch.stack(logits), torch.stack(segments), actionness


def build(sizes):
    weights = official_weights(**sizes)
    converted = convert_state_dict(weights)
    head = TadTRHead(**head_settings(converted)).double().eval()
    head.load_state_dict(converted, strict=True)
    return Official(weights), head


def check(sizes, lengths, padded):
    official, head = build(sizes)
    generator = torch.Generator().manual_seed(1)
    shape = (len(lengths), sizes['channels'], padded)
    feats = torch.randn(shape, generator=generator, dtype=torch.float64)
    masks = torch.arange(padded)[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        outputs = head(feats, masks)
    for n, length in enumerate(lengths):
        logits, segments, actionness = official(feats[n, :, :length])
        assert logits.std() > 0.1 and segments.std() > 0.1
        if sizes['queries'] > 5 and length > 1:
            assert actionness.std() > 0.005
        for ours, expected in (
            (outputs.cls_logits[:, n], logits),
            (outputs.segments[:, n], segments),
            (outputs.actionness[n], actionness),
        ):
            torch.testing.assert_close(ours.double(), expected, atol=2e-5, rtol=1e-5)


def test_outputs_at_official_size():
    check(THUMOS, [128], 128)


def test_outputs_at_any_length_and_padding():
    check(TINY, [24, 17, 2, 1], 24)


def test_settings_and_number_of_weights():
    weights = official_weights(**THUMOS)
    converted = convert_state_dict(weights)
    aliases = sum(name.startswith('transformer.decoder.segment_embed') for name in weights)
    assert len(converted) == len(weights) - aliases + 1
    assert head_settings(converted) == dict(
        num_classes=20,
        in_channels=2048,
        embed_dims=256,
        num_queries=40,
        num_encoder_layers=4,
        num_decoder_layers=4,
        hidden_dims=1024,
        with_actionness=True,
    )


def test_without_actionness_and_with_an_encoder():
    weights = official_weights(**TINY)
    weights = {k: v for k, v in weights.items() if not k.startswith('actionness_pred')}
    weights['backbone.backbone.slow_path.conv1.conv.weight'] = torch.zeros(1)
    converted = convert_state_dict(weights)
    head = TadTRHead(**head_settings(converted))
    head.load_state_dict(converted, strict=True)
    assert head.actionness is None


def test_what_is_no_tadtr_is_refused():
    weights = official_weights(**TINY)
    with pytest.raises(CheckpointError, match=r'names are not those of TadTR: bbox_embed\.0'):
        convert_state_dict({**weights, 'bbox_embed.0.weight': torch.zeros(1)})
    with pytest.raises(CheckpointError, match='whole TadTR'):
        convert_state_dict({'class_embed.0.weight': torch.zeros(3, 4)})
    plain = {k: v for k, v in weights.items() if 'decoder.segment_embed' not in k}
    with pytest.raises(CheckpointError, match='without segment refinement'):
        convert_state_dict(plain)


def run(*args):
    command = [sys.executable, 'tools/model_converters/tadtr.py', *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_command_line(tmp_path):
    source, target = tmp_path / 'model_best.pth', tmp_path / 'new' / 'tadtr.pth'
    torch.save({'model': official_weights(**TINY), 'epoch': 3, 'cfg': OfficialNames()}, source)
    result = run(source, target)
    assert result.returncode == 0, result.stderr
    assert 'num_queries=5' in result.stdout
    state = torch.load(target, weights_only=True)['state_dict']
    assert state['head.decoder.query_content'].shape == (5, 64)
    missing = run_tool(main, tmp_path / 'nowhere.pth', target)
    assert missing.returncode == 2 and 'does not exist' in missing.stderr


def test_weights_that_the_head_cannot_load_are_not_written(tmp_path):
    """Their names are all there, but one shape is another model's."""
    weights = official_weights(**TINY)
    name = 'transformer.decoder.layers.0.linear2.weight'
    weights[name] = torch.zeros(3)
    torch.save(dict(model=weights), tmp_path / 'src.pth')
    result = run_tool(main, tmp_path / 'src.pth', tmp_path / 'tadtr.pth')
    assert result.returncode == 2 and 'do not fit TadTRHead: ' in result.stderr
    assert not (tmp_path / 'tadtr.pth').exists()
