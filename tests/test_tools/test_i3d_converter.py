"""tools/model_converters/i3d.py: the PyTorch port's weights give the port's features."""

import pytest
import reference_i3d
import torch
from mmaction.registry import MODELS

from mmtad_decomp.models.backbones.stems import STEM_INITS
from mmtad_decomp.utils import CheckpointError
from tools.model_converters import common, i3d


def encoder(path, in_channels=3, **kwargs):
    model = MODELS.build(
        dict(
            type='VideoEncoder',
            backbone=dict(type='InceptionI3D', in_channels=in_channels),
            init_cfg=dict(type='Pretrained', checkpoint=str(path)),
            **kwargs,
        )
    )
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize(('channels', 'steps', 'side'), [(3, 16, 32), (2, 24, 48)])
@torch.no_grad()
def test_features_are_those_of_the_port(tmp_path, channels, steps, side):
    state = reference_i3d.official_state(channels)
    torch.save(state, tmp_path / 'port.pt')
    assert i3d.convert(tmp_path / 'port.pt', tmp_path / 'i3d.pth') == 57 * 5
    model = encoder(tmp_path / 'i3d.pth', channels)
    clips = torch.randn(2, channels, steps, side, side)
    expected = reference_i3d.forward(state, clips)
    assert expected.shape[1:3] == (1024, steps // 8) and expected.std() > 0.1
    torch.testing.assert_close(model.backbone(clips).double(), expected, rtol=1e-3, atol=1e-3)
    frames = clips.transpose(1, 2)
    feats, masks = model(frames, torch.ones(2, steps, dtype=torch.bool))
    assert masks.shape == (2, steps // 8) and masks.all()
    torch.testing.assert_close(feats.double(), expected.mean(dim=(3, 4)), rtol=1e-3, atol=1e-3)


def test_counters_and_parallel_wrappers_are_understood():
    state = reference_i3d.official_state()
    state['Mixed_3b.b1a.bn.num_batches_tracked'] = torch.tensor(3)
    converted = i3d.convert_state_dict(state)
    assert converted['backbone.stage2.1.branch1.0.bn.num_batches_tracked'] == 3
    assert not any('logits' in name for name in converted)


def test_rgb_weights_become_a_flow_stem(tmp_path, capsys):
    state = {f'module.{k}': v for k, v in reference_i3d.official_state(3).items()}
    torch.save(dict(state_dict=state), tmp_path / 'port.pt')
    arguments = [str(tmp_path / 'port.pt'), str(tmp_path / 'flow.pth'), '--in-channels', '2']
    with pytest.raises(CheckpointError, match=r'reads \[3\] channels, 2 are wanted'):
        i3d.main(arguments)
    assert not (tmp_path / 'flow.pth').exists()
    i3d.main([*arguments, '--stem-init', 'average', '--prefix', 'backbone.'])
    assert '285 tensors written' in capsys.readouterr().out
    content = torch.load(tmp_path / 'flow.pth', weights_only=True)
    stem = content['state_dict']['backbone.backbone.stem.conv.weight']
    mean = state['module.Conv3d_1a_7x7.conv3d.weight'].mean(dim=1)
    torch.testing.assert_close(stem, torch.stack([mean, mean], dim=1) * 1.5)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('Mixed_3b.b1a.conv3d.weight', None, r'1 of \d+ entries are not in it, such as backbone'),
        ('Conv3d_1a_7x7.conv3d.weight', None, r'port\.pt lacks Conv3d_1a_7x7'),
        ('Mixed_4b.b0.bn.bias', torch.zeros(3), 'of another shape'),
        ('Mixed_4b.bn.bias', torch.zeros(3), r'names are not those.*: Mixed_4b\.bn\.bias'),
        ('Conv3d_2b_1x1.b0.bn.bias', torch.zeros(3), 'names are not those'),
        ('Mixed_4g.b0.bn.bias', torch.zeros(3), 'names are not those'),
        ('Mixed_4b.b3a.bn.bias', torch.zeros(3), 'names are not those'),
    ],
)
def test_other_files_are_refused(tmp_path, name, value, message):
    state = reference_i3d.official_state()
    state.pop(name, None)
    if value is not None:
        state[name] = value
    torch.save(state, tmp_path / 'port.pt')
    with pytest.raises(CheckpointError, match=message):
        i3d.convert(tmp_path / 'port.pt', tmp_path / 'i3d.pth')
    assert not (tmp_path / 'i3d.pth').exists()


def test_a_file_without_weights_is_named(tmp_path):
    torch.save(dict(epoch=3), tmp_path / 'other.pt')
    with pytest.raises(CheckpointError, match=r'other\.pt holds no weights'):
        i3d.convert(tmp_path / 'other.pt', tmp_path / 'i3d.pth')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        i3d.main([str(tmp_path / 'none.pt'), str(tmp_path / 'i3d.pth')])


def test_inits_of_the_stem_are_those_of_the_package():
    assert common.STEM_INITS == STEM_INITS
