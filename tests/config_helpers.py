"""Models of configs at a size that tests can afford, and what one training step must show."""

from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmtad_decomp  # noqa: F401
from mmtad_decomp.structures import TADDataSample, TimeGrid

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
STEPS, SIZE = 8, 32


def load(path):
    """A config by its path under ``configs/``."""
    return Config.fromfile(CONFIGS / path)


def base_detector(model):
    """The config of the plain detector inside a student or a decomposed detector."""
    student = model.get('student', model)
    return student.get('detector', student)


def without_pretrained(node):
    """Switch pretrained weights off, in place."""
    if isinstance(node, dict):
        if node.get('type') == 'ResNetTSM':
            node.update(pretrained=None, pretrained2d=False)
        if node.get('type') == 'VideoEncoder':
            node['init_cfg'] = None
        for value in node.values():
            without_pretrained(value)


POOL = 1_000_003  # a prime, so that no two rows of a weight are the same


@contextmanager
def pooled_random_numbers():
    """Fill large weights from a pool of random numbers: drawing 50 M takes a third of a test."""

    def pooled(name):
        draw = getattr(torch.Tensor, name)
        pool = draw(torch.empty(POOL, device='cpu'))

        def fill(tensor, *range_or_moments, **options):
            if tensor.numel() < POOL // 10 or len(range_or_moments) != 2 or tensor.is_cuda:
                return draw(tensor, *range_or_moments, **options)
            first, second = range_or_moments
            scale = second - first if name == 'uniform_' else second
            numbers = pool.repeat(-(-tensor.numel() // POOL))[: tensor.numel()]
            return tensor.copy_(numbers.mul_(scale).add_(first).view_as(tensor))

        return mock.patch.object(torch.Tensor, name, fill)

    with pooled('uniform_'), pooled('normal_'):
        yield


def build(model, device='cpu'):
    """Build a config's model, without pretrained weights and without padding to full length."""
    without_pretrained(model)
    base_detector(model)['data_preprocessor']['pad_to'] = None
    torch.manual_seed(0)
    with torch.device(device), pooled_random_numbers():
        return MODELS.build(model)


def shapes(model):
    """Names and shapes of all weights and buffers."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def batch(num_classes, window, channels=128):
    """Two windows of so many frames, with flow and features; the second is two frames shorter."""
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
    features = [torch.randn(channels, len(clip)) for clip in frames]
    motion = [torch.randn(30, len(clip)) for clip in frames]
    inputs = dict(frames=frames, flow=flow, features=features, motion_features=motion)
    return dict(inputs=inputs, data_samples=samples)


def batch_for(model, num_classes):
    """A batch of as many feature steps as are tested with."""
    modality = getattr(model.data_preprocessor, 'student', model.data_preprocessor).modality
    two_streams = getattr(modality, 'slice', None) is not None
    steps = STEPS * getattr(model, 'student', model).feature_stride
    return batch(num_classes, steps, 2048 if two_streams else 128)


def assert_untouched(losses, *modules):
    """No gradient flows from the sum of these losses into these modules."""
    weights = [p for module in modules for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(
        sum(losses), weights, retain_graph=True, allow_unused=True, materialize_grads=False
    )
    assert weights and all(grad is None for grad in grads)


PREFIXES = ('app_', 'joint_', 'loss_')


def check_decomposition(student, losses, distilled):
    """Which losses reach which parts of a decomposed detector."""
    kinds = {kind: {n: v for n, v in losses.items() if n.startswith(kind)} for kind in PREFIXES}
    app, joint, mimics = (list(kind.values()) for kind in kinds.values())
    assert sum(map(len, kinds.values())) == len(losses)
    assert len(mimics) == (2 if distilled else 0)
    terms = [{name.split('_', 1)[1] for name in kinds[kind]} for kind in ('app_', 'joint_')]
    # AFSD's contrast has windows of its own, seen by the joint head alone.
    assert terms[0] and terms[0] == terms[1] - {'loss_contrast'}
    assert_untouched(app, student.head, student.fusion, student.neck.motion)
    assert_untouched(joint, student.shared_head)
    if distilled:
        assert_untouched(mimics, student.head, student.fusion, student.neck.appearance)
        assert_untouched(mimics[:1], student.shared_head)


def take_step(model, num_classes):
    """Forward and backward pass: finite losses, gradients where they belong and nowhere else."""
    model.train()
    inputs = model.data_preprocessor(batch_for(model, num_classes), training=True)
    losses = model(**inputs, mode='loss')
    assert all(torch.isfinite(loss) for loss in losses.values()), losses
    distilled = hasattr(model, 'student')
    assert ('loss_feature' in losses and 'loss_prediction' in losses) == distilled
    student = model.student if distilled else model
    if hasattr(student, 'fusion'):
        check_decomposition(student, losses, distilled)
    model.parse_losses(losses)[0].backward()
    for name, part in student.named_children():
        grads = [p.grad for p in part.parameters() if p.requires_grad]
        assert all(grad is not None for grad in grads), name
        if grads:
            norms = torch.stack(torch._foreach_norm(grads))
            assert norms.isfinite().all() and norms.any(), name
    assert all(p.grad is None for p in student.parameters() if not p.requires_grad)
    if distilled:
        assert all(p.grad is None for p in model.teacher.parameters())
        assert not any(module.training for module in model.teacher.modules())


def check_predictions(model, num_classes):
    """Candidates lie in the window, which begins at 10.0 s, and have known labels."""
    model.eval()
    data = batch_for(model, num_classes)
    seconds = max(map(len, data['inputs']['frames'])) / 10
    with torch.no_grad():
        samples = model.val_step(data)
    for sample in samples:
        instances = sample.pred_instances
        assert len(instances.scores) == len(instances.labels) == len(instances.segments) > 0
        assert torch.isfinite(instances.segments).all() and torch.isfinite(instances.scores).all()
        assert instances.labels.min() >= 0 and instances.labels.max() < num_classes
        assert 9 < instances.segments.mean(dim=1).median() < 11.2 + seconds
