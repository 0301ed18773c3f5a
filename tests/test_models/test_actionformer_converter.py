"""The converter's files, errors and command line; its weights are tested against the official."""

from pathlib import Path

import pytest
import torch
from tool_runner import run_tool

import mmtad_decomp.models  # noqa: F401
from tools.model_converters.actionformer import (
    ConversionError,
    convert_state_dict,
    load_official,
    main,
)


def parts_of_a_layer(name, *, width=4):
    """Weights of an official transformer block, by its definition."""
    channel, linear = torch.ones(1, width, 1), torch.ones(width, width, 1)
    weights = {f'{name}.mlp.0.weight': torch.ones(4 * width, width, 1)}
    weights |= {f'{name}.mlp.0.bias': torch.ones(4 * width)}
    weights |= {f'{name}.mlp.3.weight': torch.ones(width, 4 * width, 1)}
    weights |= {f'{name}.mlp.3.bias': torch.ones(width)}
    for norm in ('ln1', 'ln2', 'attn.query_norm', 'attn.key_norm', 'attn.value_norm'):
        weights |= {f'{name}.{norm}.{part}': channel for part in ('weight', 'bias')}
    for part in ('query', 'key', 'value', 'proj'):
        weights |= {
            f'{name}.attn.{part}.weight': linear,
            f'{name}.attn.{part}.bias': linear[0, :, 0],
        }
    for part in ('query', 'key', 'value'):
        weights[f'{name}.attn.{part}_conv.conv.weight'] = torch.ones(width, 1, 3)
    return weights | {f'{name}.drop_path_{part}.scale': channel for part in ('attn', 'mlp')}


def whole_weights():
    """A whole official ActionFormer: 3 channels in, width 4, 2 levels, 5 classes."""
    weights = {'module.point_generator.buffer_points.0': torch.zeros(9, 4)}
    for i in range(2):
        weights[f'backbone.embd.{i}.conv.weight'] = torch.ones(4, 4 if i else 3, 3)
        weights[f'reg_head.scale.{i}.scale'] = torch.tensor(1.0 + i)
        for part in ('weight', 'bias'):
            weights[f'backbone.embd_norm.{i}.{part}'] = torch.ones(1, 4, 1)
            weights[f'neck.fpn_norms.{i}.{part}'] = torch.ones(1, 4, 1)
            for head in ('cls', 'reg'):
                weights[f'{head}_head.norm.{i}.{part}'] = torch.ones(1, 4, 1)
                weights[f'{head}_head.head.{i}.conv.weight'] = torch.ones(4, 4, 3)
    for name in ('stem.0', 'branch.0'):
        weights |= parts_of_a_layer(f'backbone.{name}')
    for name, classes in (('cls_head.cls_head', 5), ('reg_head.offset_head', 2)):
        weights |= {f'{name}.conv.weight': torch.ones(classes, 4, 3)}
        weights |= {f'{name}.conv.bias': torch.ones(classes)}
    return weights


def official_weights():
    return {
        'module.backbone.embd_norm.0.weight': torch.ones(1, 4, 1),
        'module.cls_head.cls_head.conv.weight': torch.ones(2, 4, 3),
        'module.reg_head.scale.0.scale': torch.tensor(1.0),
        'module.reg_head.scale.1.scale': torch.tensor(2.0),
        'module.point_generator.buffer_points.0': torch.zeros(9, 4),
    }


def test_names_and_shapes():
    converted = convert_state_dict(official_weights(), loss_norm=7)
    assert converted['head.encoder.embed_norms.0.weight'].shape == (4,)
    assert converted['head.cls_branch.predictor.conv.weight'].shape == (2, 4, 3)
    assert converted['head.reg_branch.scales'].tolist() == [1, 2]
    assert converted['head.loss_norm'] == 7
    assert converted['head.reg_branch.activation'] == 0
    assert len(converted) == 5


def test_unknown_names_are_listed():
    weights = {**official_weights(), 'backbone.stem.0.attn.rel_pe': torch.ones(1)}
    with pytest.raises(ConversionError, match=r'backbone\.stem\.0\.attn\.rel_pe'):
        convert_state_dict(weights)
    with pytest.raises(ConversionError, match='whole ActionFormer'):
        convert_state_dict({})


def test_averaged_weights_are_preferred(tmp_path):
    raw, averaged = {'a': torch.zeros(1)}, {'a': torch.ones(1)}
    path = tmp_path / 'epoch.pth.tar'
    torch.save({'state_dict': raw, 'state_dict_ema': averaged, 'epoch': 3}, path)
    assert load_official(path)['a'] == 1
    assert load_official(path, weights='raw')['a'] == 0


def test_command_line(tmp_path):
    source, target = tmp_path / 'src.pth.tar', tmp_path / 'new' / 'dst.pth'
    torch.save({'state_dict': whole_weights()}, source)
    result = run_tool(main, source, target)
    assert result.returncode == 0, result.stderr
    assert (
        "dict(type='ActionFormerHead', num_classes=5, in_channels=3, num_levels=2" in result.stdout
    )
    assert 'model.head.offset_activation=relu' in result.stdout
    content = torch.load(target, weights_only=True)
    assert content['state_dict']['head.reg_branch.scales'].tolist() == [1, 2]
    assert [path.name for path in target.parent.iterdir()] == ['dst.pth']


def test_errors_leave_no_file(tmp_path):
    target = tmp_path / 'dst.pth'
    missing = run_tool(main, tmp_path / 'nowhere.pth', target)
    assert missing.returncode and 'does not exist' in missing.stderr
    pickled = tmp_path / 'pickled.pth'
    torch.save({'state_dict': whole_weights(), 'where': Path('x')}, pickled)
    refused = run_tool(main, pickled, target)
    assert refused.returncode and '--legacy' in refused.stderr
    assert not target.exists()
    assert run_tool(main, pickled, target, '--legacy').returncode == 0
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(pickled.read_bytes()[:200])
    unreadable = run_tool(main, broken, target)
    assert unreadable.returncode and 'Traceback' not in unreadable.stderr


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda w: w.pop('backbone.stem.0.attn.proj.bias'), 'stem.0.attn.proj.bias'),
        (
            lambda w: w.update({'cls_head.cls_head.conv.bias': torch.ones(6)}),
            'predictor.conv.bias',
        ),
        (lambda w: w.pop('backbone.embd.0.conv.weight'), 'encoder.embed_convs.0.conv.weight'),
    ],
)
def test_weights_that_the_head_cannot_load_are_not_written(tmp_path, change, words):
    weights = whole_weights()
    change(weights)
    source, target = tmp_path / 'src.pth.tar', tmp_path / 'dst.pth'
    torch.save({'state_dict': weights}, source)
    result = run_tool(main, source, target)
    assert result.returncode == 2 and words in result.stderr and not target.exists()
    assert 'Traceback' not in result.stderr
