"""ONNX Runtime and torch.export give what PyTorch gives, for other shapes than were exported."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from tiny_detectors import build, detector_config

from mmtad_decomp import deployment
from mmtad_decomp.deployment.length_guard import guard_length
from mmtad_decomp.models.heads import TemporalHead
from mmtad_decomp.models.layers import MaskedConv1d
from tools.deployment import export

onnx = pytest.importorskip('onnx', reason='pip install -r requirements/deployment.txt')
pytest.importorskip('onnxscript', reason='pip install -r requirements/deployment.txt')
pytest.importorskip('onnxruntime', reason='pip install -r requirements/deployment.txt')

ROOT = Path(__file__).resolve().parents[2]
FUSIONS = ('Concat', 'Sum', 'SelfAttention', 'CrossAttention', 'DiffAttention', 'LocalAttentive')
STANDARD = {'', 'ai.onnx'}


@MODELS.register_module(force=True)
class OneConvHead(TemporalHead):
    """The smallest head, so that a test exports little but what it is about."""

    title = 'one convolution'

    def __init__(self, in_channels, num_classes=2):
        super().__init__(num_classes, in_channels)
        self.conv = MaskedConv1d(in_channels, num_classes, 3)

    def forward(self, feats, masks):
        return self.conv(feats, masks)

    def loss_by_feat(self, outputs, gt):
        raise NotImplementedError

    def predict_by_feat(self, outputs):
        raise NotImplementedError

    def dense_predictions(self, outputs):
        return dict(scores=outputs.sigmoid())


def feature_detector(head):
    preprocessor = dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput'))
    return dict(type='TADDetector', data_preprocessor=preprocessor, head=head)


def random_detector(config):
    """A detector in which no weight is zero."""
    detector = build(config)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return detector


def check_export(tmp_path, config, **options):
    """Export, let the tool compare, and look at the files."""
    found = export.export(random_detector(config), tmp_path / 'model', **options)
    assert set(found) == {'onnx', 'pt2'}
    assert all(error <= 1e-4 for errors in found.values() for error in errors.values())
    model = onnx.load(tmp_path / 'model.onnx')
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= STANDARD
    assert [item.version for item in model.opset_import if not item.domain] == [deployment.OPSET]
    outputs = [output.name for output in model.graph.output]
    assert outputs == list(found['onnx'])
    extra = {'metadata.json': ''}
    torch.export.load(tmp_path / 'model.pt2', extra_files=extra)
    properties = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert properties == json.loads(extra['metadata.json'])
    assert properties['outputs'] == outputs
    return model, properties


@pytest.mark.parametrize('window', [None, 3])
@pytest.mark.parametrize('name', FUSIONS)
def test_every_fusion(tmp_path, name, window):
    fusion = dict(type=f'{name}Fusion')
    if window is not None:
        if 'window' not in inspect.signature(MODELS.get(fusion['type'])).parameters:
            pytest.skip('this fusion has no window')
        fusion['window'] = window
    detector = feature_detector(dict(type='OneConvHead', in_channels=8))
    config = dict(type='DecomposedDetector', detector=detector, fusion=fusion, shared_head=False)
    check_export(tmp_path, config)


def published(tmp_path):
    """Config and checkpoint of a small detector that reads frames."""
    detector = detector_config()
    detector['head'] = dict(type='OneConvHead', in_channels=16)
    fusion = dict(type='LocalAttentiveFusion')
    model = dict(type='DecomposedDetector', detector=detector, fusion=fusion)
    config, checkpoint = tmp_path / 'student.py', tmp_path / 'student.pth'
    pipeline = [dict(type='LoadVideoFrames'), dict(type='CenterSpatialCrop', size=8)]
    dataset = dict(pipeline=pipeline, sample_fps=10, metainfo=dict(classes=('walk', 'fall')))
    Config(dict(model=model, test_dataloader=dict(dataset=dataset))).dump(config)
    torch.save(dict(state_dict=build(model).state_dict()), checkpoint)
    return [str(config), str(checkpoint), str(tmp_path / 'out' / 'deployed')]


def test_command_exports_frames(tmp_path, capsys):
    args = published(tmp_path)
    export.main([*args, '--longest', '32'])
    lines = capsys.readouterr().out.splitlines()
    stages = ['recording the detector']
    for name in ('pt2', 'onnx'):
        stages += [f'{name}: making the file', f'{name}: comparing with PyTorch on 3 windows of ']
    assert all(line.startswith(stage) for line, stage in zip(lines, stages))
    assert len(lines) == 7 and all('MiB' in line for line in lines[5:])
    model = onnx.load(f'{args[2]}.onnx')
    frames, masks = model.graph.input
    assert (frames.name, masks.name) == ('frames', 'masks')
    assert frames.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = [dim.dim_value for dim in frames.type.tensor_type.shape.dim[2:]]
    assert sizes == [3, 8, 8]  # the test's crop
    facts = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert facts['classes'] == ['walk', 'fall'] and facts['sample_fps'] == 10
    long = torch.zeros(1, 33, 3, 8, 8, dtype=torch.uint8), torch.ones(1, 33, dtype=torch.bool)
    with pytest.raises(Exception, match='length_must_be_at_most_32'):
        deployment.run_onnx(f'{args[2]}.onnx', long)


@pytest.mark.parametrize(
    ('length', 'rule'), [(4, None), (8, None), (6, 'a_multiple_of_4'), (12, 'at_most_8')]
)
def test_an_onnx_file_refuses_lengths_that_it_is_not_for(tmp_path, length, rule):
    masks, out = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, ['N', 'T'])
        for name in ('masks', 'out')
    )
    copy = onnx.helper.make_node('Not', ['masks'], ['out'])
    graph = onnx.helper.make_graph([copy], 'graph', [masks], [out])
    guard_length(graph, deployment.InputDims('features', 4, 8))
    opset = onnx.helper.make_opsetid('', deployment.OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / 'model.onnx')
    given = torch.rand(2, length) < 0.5
    if rule is None:
        assert torch.equal(deployment.run_onnx(tmp_path / 'model.onnx', [given])[0], ~given)
    else:
        with pytest.raises(Exception, match=f'length_must_be_{rule}'):
            deployment.run_onnx(tmp_path / 'model.onnx', [given])


def test_nothing_is_written_if_a_file_would_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'TOLERANCE', -1.0)
    args = published(tmp_path)
    with pytest.raises(deployment.ExportError, match='differ'):
        export.main([*args, '--size', '8', '8', '--format', 'pt2'])
    assert not (tmp_path / 'out').exists()


def seconds_of(meta, steps, start, fps=None, duration=None, length=None):
    """The formula of the deployment guide."""
    offset, stride = meta['input_offset'], meta['input_stride']
    if 'resized_steps' in meta:
        ratio = length / meta['resized_steps']
        offset, stride = offset + stride * (ratio - 1) / 2, stride * ratio
    if 'num_samples' in meta:
        fps = meta['num_samples'] / duration
    fps = meta.get('sample_fps', fps)
    places = start + steps * meta['feature_stride'] + meta['feature_offset']
    return (offset + places * stride) / fps


@pytest.mark.parametrize(
    ('name', 'changes', 'facts'),
    [
        ('actionformer_features_thumos', {}, dict(input_stride=4, input_offset=8)),
        ('actionformer_features_thumos', dict(window=40), dict(window=40)),
        ('actionformer_features_activitynet', {}, dict(resized_steps=192, sample_fps=25)),
        ('gtad_tsm18_activitynet', {}, dict(num_samples=100, input_stride=1, input_offset=0.5)),
        ('actionformer_tsm18_fir', {}, dict(input_stride=1, input_offset=0.5)),
    ],
)
def test_metadata_give_the_seconds_of_the_data_set(tmp_path, name, changes, facts):
    config = Config.fromfile(ROOT / 'configs' / 'baseline' / f'{name}.py')
    dataset = config.test_dataloader.dataset
    dataset.update(changes)
    meta = export.facts_of_test(config)
    assert facts.items() <= meta.items()
    meta.update(feature_stride=2, feature_offset=0.5)  # of a backbone that pools pairs
    fps, duration = 30.0, 31.7
    length = int(duration * meta.get('sample_fps', fps) / meta['input_stride'])
    video = dict(subset=dataset.subset, duration=duration, fps=fps, path='a.mp4', annotations=[])
    classes = dataset.get('metainfo', {}).get('classes', ['walk'])
    content = dict(version='t', classes=list(classes), database=dict(a=video))
    (tmp_path / 'annotations.json').write_text(json.dumps(content))
    features = dataset.get('source') == 'feature'
    if features:
        np.save(tmp_path / 'a.npy', np.zeros((length, 2048), dtype=np.float32))
    make = Path.mkdir if dataset.get('source') == 'frames' else Path.touch
    make(tmp_path / 'a.mp4')
    dataset.update(data_root=str(tmp_path), ann_file='annotations.json', exclude_videos=())
    dataset.update(data_prefix={dataset.get('source', 'video'): ''}, template=None)
    if not features:
        dataset.pipeline = []
    served = DATASETS.build(dataset)
    for index in {0, len(served) - 1}:
        sample = served[index]
        sample = sample['data_samples'].to_dict() if features else sample
        grid = sample['time_grid'].coarsen(2, 0.5)
        start = sample['window'][0]
        for step in (0.0, 7.25):
            found = seconds_of(meta, step, start, fps, duration, length)
            assert found == pytest.approx(grid.to_seconds(step), abs=1e-9)


class Slices(torch.nn.Module):
    """Two constants that are overlapping parts of one tensor."""

    def __init__(self):
        super().__init__()
        whole = torch.arange(4.0)
        self.register_buffer('first', whole[:2])
        self.register_buffer('second', whole[1:3])

    def forward(self, inputs):
        return inputs * self.first + self.second


@pytest.mark.filterwarnings('error')
def test_parts_of_one_tensor_are_written_without_a_warning(tmp_path):
    model, inputs = Slices(), (torch.tensor([2.0, 3.0]),)
    file = tmp_path / 'model.pt2'
    deployment.write_program(
        SimpleNamespace(metadata=dict), torch.export.export(model, inputs), file
    )
    found = torch.export.load(file).module()(*inputs)
    assert torch.equal(found, model(*inputs))


def test_the_detector_stays_as_it_was(tmp_path):
    """Frames of another length still run; nothing of the record is left in it."""
    model = build(detector_config()).train()
    deployable = deployment.DeployableDetector(model)
    assert model.training and all(p.requires_grad for p in model.parameters())
    inputs = deployment.example_inputs(deployable, 1, 1, size=(8, 8))
    assert inputs[0].dtype == torch.uint8 and not inputs[1].all()


def test_other_detectors_are_refused():
    with pytest.raises(TypeError, match='dense predictions'):
        deployment.DeployableDetector(torch.nn.Linear(1, 1))


def test_differences_compare_shapes():
    a, b = [torch.zeros(2)], [torch.tensor([0.5, 200.0])]
    assert deployment.differences(['x'], a, b) == {'x': 1.0}
    with pytest.raises(deployment.ExportError, match='shape'):
        deployment.differences(['x'], a, [torch.zeros(3)])
