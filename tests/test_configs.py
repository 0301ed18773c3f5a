"""Every config builds, takes a training step at reduced size, and predicts in seconds."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmtad_decomp.structures import TADDataSample, TimeGrid
from mmtad_decomp.utils import check_config
from mmtad_decomp.utils.config_check import runner_keys

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path.relative_to(ROOT / 'configs')
    for folder in ('baseline', 'teacher', 'conventional', 'decomp')
    for head in ('actionformer', 'afsd', 'gtad', 'tadtr', 'tags')
    for path in (ROOT / 'configs' / folder).rglob(f'{head}_*.py')
)
VARIABLES = {
    'ann_file', 'classes', 'data_root', 'dataset', 'distill', 'fusion', 'i3d_rgb',
    'flow_test_pipeline', 'flow_train_pipeline', 'imagenet_resnet18', 'kinetics_slowfast50',
    'kinetics_tsm50', 'load_flow', 'max_epochs', 'num_classes', 'paired_train_pipeline',
    'test_pipeline', 'train_pipeline', 'vis_backends', 'window',
}  # fmt: skip
STEPS, SIZE = 8, 32


def load(path):
    return Config.fromfile(ROOT / 'configs' / path)


def without_pretrained(node):
    """Switch pretrained weights off, in place."""
    if isinstance(node, dict):
        if node.get('type') == 'ResNetTSM':
            node.update(pretrained=None, pretrained2d=False)
        if node.get('type') == 'VideoEncoder':
            node['init_cfg'] = None
        for value in node.values():
            without_pretrained(value)


def build(config):
    """Build a config's model, without pretrained weights and without padding to full length."""
    init_default_scope('mmaction')
    without_pretrained(config)
    base = config.get('student', config)
    base.get('detector', base)['data_preprocessor']['pad_to'] = None
    torch.manual_seed(0)
    return MODELS.build(config)


def window_of(model):
    """Frames of as many feature steps as are tested with."""
    detector = getattr(model, 'student', model)
    return STEPS * detector.feature_stride


def batch(num_classes, window):
    """Two windows, the second one shorter."""
    frames, flow, samples = [], [], []
    for index, steps in enumerate((window, window - 2)):
        frames.append(torch.randint(0, 256, (steps, 3, SIZE, SIZE), dtype=torch.uint8))
        flow.append(torch.randn(steps, 2, SIZE, SIZE))
        grid = TimeGrid(fps=10, start=100)
        meta = dict(video_id=str(index), window=(100, 100 + steps), num_steps=steps)
        sample = TADDataSample(metainfo=dict(meta, time_grid=grid, duration=60.0))
        segments = 10 + torch.tensor([[0.0125, 0.05625]]) * window
        labels = torch.tensor([index % num_classes])
        sample.gt_instances = InstanceData(segments=segments, labels=labels)
        samples.append(sample)
    return dict(inputs=dict(frames=frames, flow=flow), data_samples=samples)


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    """Writes the randomly initialised checkpoint of a teacher's config, once each."""
    folder = tmp_path_factory.mktemp('teachers')

    def write(name):
        path = folder / f'{name}.pth'
        if not path.exists():
            model = build(load(f'teacher/{name}.py').model)
            torch.save(dict(state_dict=model.state_dict()), path)
        return str(path)

    return write


def test_there_are_configs_of_every_kind():
    names = {str(path) for path in FILES}
    for backbone in ('tsm18', 'tsm50'):
        for data in ('thumos', 'fir', 'weizmann', 'synthetic'):
            name = f'actionformer_{backbone}_{data}'
            assert f'teacher/{name}_tg.py' in names
            assert {f'{kind}/{name}.py' for kind in ('baseline', 'conventional', 'decomp')} < names
    for data in ('thumos', 'fir'):
        assert {f'{kind}/gtad_tsm18_{data}.py' for kind in ('baseline', 'decomp')} < names
    for data in ('thumos', 'fir'):
        name = f'actionformer_tsm18_{data}_of.py'
        assert {f'{kind}/{name}' for kind in ('teacher', 'conventional', 'decomp')} < names
    for fusion in ('concat', 'sum', 'self_attn', 'cross_attn', 'diff_attn', 'local_attn'):
        assert f'decomp/ablation/actionformer_tsm18_fir_{fusion}.py' in names


@pytest.mark.parametrize('path', FILES, ids=str)
def test_every_key_is_known_and_agrees(path):
    config = load(path)
    check_config(config)
    assert set(config) <= runner_keys() | VARIABLES
    assert config.num_classes == len(config.classes)
    student = config.model.get('student', config.model)
    detector = student.get('detector', student)
    assert detector.head.num_classes == config.num_classes
    assert detector.data_preprocessor.pad_to == config.window
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert loader.dataset.window == config.window
        assert loader.dataset.metainfo.classes == config.classes
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert evaluator.ann_file == config.data_root + config.test_dataloader.dataset.ann_file
        assert evaluator.subset == config.test_dataloader.dataset.subset
        assert evaluator.classes == config.classes
    if 'teacher_checkpoint' in config.model:
        folder, name = Path(config.model.teacher_checkpoint).parts[-2:]
        assert (ROOT / 'configs' / folder / f'{name}.py').is_file()
        assert load(f'{folder}/{name}.py').classes == config.classes


def assert_gradients(module):
    grads = [p.grad for p in module.parameters() if p.requires_grad]
    assert grads and all(g is None or torch.isfinite(g).all() for g in grads)
    assert any(g is not None and g.any() for g in grads)


def take_step(model, config):
    """Forward and backward; checks losses and where gradients are."""
    model.train()
    losses = model(**model.data_preprocessor(batch(config.num_classes, window_of(model)), True), mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values()), losses
    distilled = config.model.type == 'CrossModalDistiller'
    assert ('loss_feature' in losses and 'loss_prediction' in losses) == distilled
    student = model.student if distilled else model
    if distilled and hasattr(student, 'shared_head'):
        app = sum(loss for name, loss in losses.items() if name.startswith('app_'))
        weights = list(student.head.parameters())
        grads = torch.autograd.grad(app, weights, retain_graph=True, allow_unused=True)
        assert all(g is None for g in grads)
        assert not any(name.startswith('loss_cls') for name in losses)
    model.parse_losses(losses)[0].backward()
    for part in ('backbone', 'neck', 'head', 'shared_head'):
        if hasattr(student, part):
            assert_gradients(getattr(student, part))
    if distilled:
        assert all(p.grad is None for p in model.teacher.parameters())
        assert not any(module.training for module in model.teacher.modules())


@pytest.mark.parametrize('path', FILES, ids=str)
def test_trains_and_predicts(path, teachers):
    config = load(path)
    distilled = config.model.type == 'CrossModalDistiller'
    if distilled:
        config.model.teacher_checkpoint = teachers(Path(config.model.teacher_checkpoint).name)
    model = build(config.model)
    if distilled:
        model.teacher.load()
    take_step(model, config)
    model.eval()
    with torch.no_grad():
        samples = model.val_step(batch(config.num_classes, window_of(model)))
    for sample in samples:
        instances = sample.pred_instances
        assert len(instances.scores) == len(instances.labels) == len(instances.segments) > 0
        centres = instances.segments.mean(dim=1)
        assert torch.isfinite(centres).all() and instances.labels.max() < config.num_classes
        assert 9 < centres.median() < 11.2 + window_of(model) / 10  # the window begins at 10.0 s
