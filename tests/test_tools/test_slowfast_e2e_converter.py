"""slowfast_e2e.py of the converters: E2E-TAD's encoder; files that hold foreign objects."""

import argparse
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.utils import CheckpointError
from tools.model_converters import slowfast_e2e
from tools.model_converters.common import read_weights


def official_network():
    """E2E-TAD's encoder is MMAction2's SlowFast 4x16 network under the same names."""
    torch.manual_seed(4)
    path = dict(type='resnet3d', depth=50, pretrained=None, conv1_stride_t=1, pool1_stride_t=1)
    slow = dict(path, lateral=True, conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1))
    fast = dict(path, lateral=False, conv1_kernel=(5, 7, 7), base_channels=8)
    config = dict(type='ResNet3dSlowFast', slow_pathway=slow, fast_pathway=fast)
    network = MODELS.build(config).eval()
    for name, value in network.state_dict().items():
        if name.endswith('running_mean'):
            value.normal_(std=0.1)
    return network


def official_forward(network, clips):
    """Its forward pass: spatial means, then linear interpolation of both paths to stride 4."""
    slow, fast = network(clips)
    slow = F.adaptive_avg_pool3d(slow, (None, 1, 1)).flatten(2)
    fast = F.adaptive_avg_pool3d(fast, (None, 1, 1)).flatten(2)
    slow = F.interpolate(slow, scale_factor=2, mode='linear')
    return torch.cat((slow, F.interpolate(fast, scale_factor=0.25, mode='linear')), dim=1)


class Settings(dict):
    """What E2E-TAD's ``cfg`` is: an object of a class of another package."""


class Exploit:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return pytest.fail, ('code of the checkpoint was run',)


@pytest.fixture(scope='module')
def official(tmp_path_factory):
    network = official_network()
    state = {f'backbone.backbone.{name}': value for name, value in network.state_dict().items()}
    state['class_embed.0.weight'] = torch.zeros(20, 256)
    content = dict(model=state, epoch=15, args=argparse.Namespace(seed=1), cfg=Settings(a=1))
    path = tmp_path_factory.mktemp('e2e') / 'model_best.pth'
    torch.save(dict(content, hook=Exploit()), path)
    return network, path


@torch.no_grad()
def test_features_are_those_of_e2e_tad(official, tmp_path, capsys):
    network, path = official
    slowfast_e2e.main([str(path), str(tmp_path / 'slowfast.pth')])
    count = len(network.state_dict())
    assert f'SlowFast50: {count} tensors written' in capsys.readouterr().out
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'slowfast.pth'))
    encoder = MODELS.build(
        dict(type='VideoEncoder', backbone=dict(type='FusedSlowFast'), init_cfg=init)
    )
    encoder.init_weights()
    clips = torch.randn(1, 3, 32, 64, 64)
    expected = official_forward(network, clips)
    feats, _ = encoder.eval()(clips.transpose(1, 2), torch.ones(1, 32, dtype=torch.bool))
    assert feats.shape == (1, 2304, 8) and expected.std() > 0
    torch.testing.assert_close(feats, expected, rtol=1e-4, atol=1e-5)


def test_foreign_objects_are_skipped_without_running_them(official):
    network, path = official
    weights = read_weights(path)
    assert set(weights) == {
        *(f'backbone.backbone.{name}' for name in network.state_dict()),
        'class_embed.0.weight',
    }
    for name, value in network.state_dict().items():
        assert torch.equal(weights[f'backbone.backbone.{name}'], value), name


def test_old_files_are_read_too(tmp_path):
    content = dict(model={'backbone.a': torch.arange(3.0)}, args=argparse.Namespace(), x=Exploit())
    torch.save(content, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert read_weights(tmp_path / 'old.pth')['backbone.a'].tolist() == [0, 1, 2]
    (tmp_path / 'junk.pth').write_bytes(pickle.dumps(content, protocol=2)[:-20])
    with pytest.raises(CheckpointError, match=r'junk\.pth'):
        read_weights(tmp_path / 'junk.pth')


def test_a_flow_stem_and_other_depths(official, tmp_path):
    _, path = official
    depth, _ = slowfast_e2e.convert(path, tmp_path / 'flow.pth', 'average', 2, 'backbone.')
    state = torch.load(tmp_path / 'flow.pth', weights_only=True)['state_dict']
    assert depth == 50 and state['backbone.backbone.fast_path.conv1.conv.weight'].shape[1] == 2
    names = {f'backbone.slow_path.layer3.{i}.conv1.conv.weight': None for i in range(23)}
    assert slowfast_e2e.depth_of(names) == 101
    with pytest.raises(CheckpointError, match='has 1 blocks'):
        slowfast_e2e.depth_of(dict(list(names.items())[:1]))


def test_weights_that_the_encoder_lacks_are_not_written(official, tmp_path):
    content = dict(model=read_weights(official[1]))
    del content['model']['backbone.backbone.fast_path.layer1.0.conv1.conv.weight']
    torch.save(content, tmp_path / 'half.pth')
    with pytest.raises(CheckpointError, match=r'half\.pth'):
        slowfast_e2e.convert(tmp_path / 'half.pth', tmp_path / 'x.pth', None)
    assert not (tmp_path / 'x.pth').exists()


def test_other_detectors_are_refused():
    with pytest.raises(CheckpointError, match=r'no\s+SlowFast detector of E2E-TAD'):
        slowfast_e2e.convert_state_dict({'backbone.backbone.base_model.conv1.weight': None})
