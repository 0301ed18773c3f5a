"""recognizer.py of the converters: a recognizer's backbone gives the recognizer's features."""

import pytest
import torch
from mmaction.registry import MODELS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.utils import CheckpointError
from tools.model_converters import recognizer

TSM = dict(
    type='ResNetTSM',
    depth=18,
    num_segments=8,
    shift_div=8,
    pretrained=None,
    pretrained2d=False,
    norm_eval=False,
)


def recognizer_config(kind):
    """MMAction2's own recognizers, as its configs build them but for the depth."""
    if kind == 'tsm':
        head = dict(type='TSMHead', num_classes=3, in_channels=512, num_segments=8)
        return dict(type='Recognizer2D', backbone=TSM, cls_head=head)
    path = dict(type='resnet3d', depth=18, pretrained=None, conv1_stride_t=1, pool1_stride_t=1)
    slow = dict(path, lateral=True, conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1))
    fast = dict(path, lateral=False, conv1_kernel=(5, 7, 7), base_channels=8)
    return dict(
        type='Recognizer3D',
        backbone=dict(
            type='ResNet3dSlowFast',
            pretrained=None,
            resample_rate=8,
            speed_ratio=8,
            channel_ratio=8,
            slow_pathway=slow,
            fast_pathway=fast,
        ),
        cls_head=dict(type='SlowFastHead', in_channels=576, num_classes=3),
    )


@pytest.fixture(scope='module', params=['tsm', 'slowfast'])
def case(request, tmp_path_factory):
    """A recognizer, its training checkpoint, and a config with an encoder of the same kind."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(3)
    model = MODELS.build(recognizer_config(request.param))
    for name, value in model.state_dict().items():
        if name.endswith('running_mean'):
            value.normal_(std=0.1)
    content = dict(
        meta=dict(epoch=100),
        state_dict={f'module.{key}': value for key, value in model.state_dict().items()},
        optimizer=dict(state={0: torch.zeros(1000)}, param_groups=[]),
    )
    torch.save(content, folder / 'recognizer.pth')
    backbone = TSM if request.param == 'tsm' else dict(type='FusedSlowFast', depth=18)
    encoder = dict(type='VideoEncoder', backbone=backbone)
    (folder / 'config.py').write_text(
        f'model = dict(type="TADDetector", backbone={encoder}, head=dict())\n'
    )
    (folder / 'flow.py').write_text(
        f'model = dict(student=dict(detector=dict(backbone={dict(encoder, in_channels=2)})))\n'
    )
    return request.param, model.eval(), encoder, folder


@torch.no_grad()
def test_features_are_those_of_the_recognizer(case, capsys):
    kind, model, encoder, folder = case
    recognizer.main([str(folder / name) for name in ('config.py', 'recognizer.pth', 'out.pth')])
    backbone = {k for k in model.state_dict() if k.startswith('backbone.')}
    assert f'{len(backbone)} tensors written' in capsys.readouterr().out
    content = torch.load(folder / 'out.pth', weights_only=True)
    assert set(content) == {'meta', 'state_dict'} and set(content['state_dict']) == backbone
    torch.manual_seed(9)
    init = dict(type='Pretrained', checkpoint=str(folder / 'out.pth'))
    ours = MODELS.build(dict(encoder, init_cfg=init))
    ours.init_weights()
    frames = torch.randn(2, 8, 3, 64, 64)
    feats, _ = ours.eval()(frames, torch.ones(2, 8, dtype=torch.bool))
    if kind == 'tsm':
        expected = model.backbone(frames.flatten(0, 1)).mean(dim=(2, 3)).view(2, 8, 512)
        torch.testing.assert_close(feats, expected.transpose(1, 2), rtol=1e-4, atol=1e-5)
    else:
        slow, fast = (maps.mean(dim=(3, 4)) for maps in model.backbone(frames.transpose(1, 2)))
        # A single slow step is seen twice; step j of the fast path is between its middle two.
        pairs = (fast[:, :, 1::4] + fast[:, :, 2::4]) / 2
        expected = torch.cat([slow.expand(-1, -1, 2), pairs], dim=1)
        torch.testing.assert_close(feats, expected, rtol=1e-4, atol=1e-5)


def test_stems_are_adapted_on_request(case):
    _, model, _, folder = case
    with pytest.raises(CheckpointError, match=r'reads \[3\] channels, 2 are wanted'):
        recognizer.convert(folder / 'flow.py', folder / 'recognizer.pth', folder / 'flow.pth')
    recognizer.convert(
        folder / 'flow.py', folder / 'recognizer.pth', folder / 'flow.pth', 'average', 'x.'
    )
    state = torch.load(folder / 'flow.pth', weights_only=True)['state_dict']
    adapted = [name for name, value in state.items() if value.ndim > 3 and value.shape[1] == 2]
    assert len(adapted) == (1 if 'x.backbone.conv1.conv.weight' in state else 2)
    for name in adapted:
        own = model.state_dict()[name.removeprefix('x.')]
        torch.testing.assert_close(state[name][:, 1], own.sum(dim=1) / 2)


def test_wrong_files_are_refused(case, tmp_path):
    _, _, _, folder = case
    (tmp_path / 'features.py').write_text('model = dict(type="TADDetector", head=dict())\n')
    with pytest.raises(CheckpointError, match=r'features\.py has no VideoEncoder'):
        recognizer.convert(tmp_path / 'features.py', folder / 'recognizer.pth', tmp_path / 'o')
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(1)}), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth do not fit.*not in it'):
        recognizer.convert(folder / 'config.py', tmp_path / 'a.pth', tmp_path / 'o')
    assert not (tmp_path / 'o').exists()
