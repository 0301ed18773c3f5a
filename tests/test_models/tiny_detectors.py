"""Small detectors, batches and teachers' checkpoints for the tests of detectors and distillers."""

import copy

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData

import mmtad_decomp  # noqa: F401
from mmtad_decomp.structures import TADDataSample, TimeGrid

NUM_CLASSES = 3

AFSD_HEAD = dict(
    type='AFSDHead',
    num_classes=NUM_CLASSES,
    in_channels=16,
    channels=16,
    num_groups=4,
    num_levels=3,
    first_stride=2,
)


@MODELS.register_module(force=True)
class TinyFrameNet(BaseModule):
    """A convolution with BatchNorm: the smallest backbone of frames."""

    def __init__(self, feat_dim=8):
        super().__init__()
        self.feat_dim = feat_dim
        self.conv = torch.nn.Conv2d(3, feat_dim, 3, stride=2)
        self.norm = torch.nn.BatchNorm2d(feat_dim)

    def forward(self, frames):
        return torch.relu(self.norm(self.conv(frames)))


def detector_config(num_classes=NUM_CLASSES, width=16, modality='RGBInput'):
    """A TADDetector that reads frames."""
    return dict(
        type='TADDetector',
        data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type=modality)),
        backbone=dict(type='VideoEncoder', backbone=dict(type='TinyFrameNet')),
        neck=dict(type='TemporalProjection', in_channels=8, out_channels=width),
        head=dict(
            type='ActionFormerHead',
            num_classes=num_classes,
            in_channels=width,
            num_levels=2,
            encoder=dict(embed_dims=width, window_size=3, num_embed_layers=1, num_stem_layers=1),
        ),
    )


def afsd_detector(**kwargs):
    """The same with AFSD's head."""
    return dict(detector_config(**kwargs), head=copy.deepcopy(AFSD_HEAD))


def mimics(decomposed=True):
    """The mimics of ``configs/_base_/distill/decomp_tg.py`` and ``conventional_tg.py``."""
    student = dict(source='neck', item='motion') if decomposed else dict(source='neck')
    head = dict(source='motion_outputs') if decomposed else dict(source='head')
    return dict(
        feature=dict(
            loss=dict(type='FeatureMimicLoss', loss_weight=4.0),
            student=student,
            teacher=dict(source='neck'),
        ),
        prediction=dict(
            loss=dict(type='PointPredictionMimicLoss'), student=head, teacher=dict(source='head')
        ),
    )


def distiller_config(checkpoint, decomposed=True, **teacher):
    """A distiller with a teacher on the temporal gradient."""
    student = detector_config()
    if decomposed:
        student = dict(
            type='DecomposedDetector', detector=student, fusion=dict(type='LocalAttentiveFusion')
        )
    teacher = dict(modality=dict(type='TemporalGradientInput'), **teacher)
    return dict(
        type='CrossModalDistiller',
        student=student,
        distill=dict(teacher=teacher, mimics=mimics(decomposed)),
        teacher_checkpoint=checkpoint if checkpoint is None else str(checkpoint),
    )


def build(config, seed=0):
    """Build a model with weights drawn from a seed."""
    torch.manual_seed(seed)
    return MODELS.build(copy.deepcopy(config))


def write_teacher(path, config=None):
    """Write the checkpoint of a randomly initialised teacher."""
    config = config or detector_config(modality='TemporalGradientInput')
    torch.save(dict(state_dict=build(config, seed=7).state_dict()), path)
    return path


def raw_batch(lengths=(8, 6), size=8, seed=0):
    """What a data loader delivers: uint8 clips and samples with ground truth."""
    generator = torch.Generator().manual_seed(seed)
    frames, samples = [], []
    for index, steps in enumerate(lengths):
        shape = (steps, 3, size, size)
        frames.append(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))
        sample = TADDataSample(
            metainfo=dict(
                video_id=f'video{index}',
                window=(0, steps),
                num_steps=steps,
                time_grid=TimeGrid(fps=10),
                duration=steps / 10,
            )
        )
        sample.gt_instances = InstanceData(
            segments=torch.tensor([[0.1, 0.35]]), labels=torch.tensor([index % NUM_CLASSES])
        )
        samples.append(sample)
    return dict(inputs=dict(frames=frames), data_samples=samples)


def losses_of(model, batch):
    """The loss dict of one training step's forward pass."""
    model.train()
    return model(**model.data_preprocessor(batch, training=True), mode='loss')


def gradients(loss, module):
    """Gradients of a loss in all parameters of a module, zeros where it does not reach."""
    params = [p for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads)]


def reaches(loss, module):
    """Whether a loss has a non-zero, finite gradient somewhere in a module."""
    grads = gradients(loss, module)
    assert all(torch.isfinite(g).all() for g in grads)
    return any(g.abs().sum() > 0 for g in grads)


def head_distiller(detector, checkpoint, decomposed, **losses):
    """A distiller of any head on its whole outputs, or on one item of them.

    Args:
        detector: Config of the student, before it is decomposed.
        checkpoint: Of the teacher.
        decomposed: Whether the student is a DecomposedDetector.
        losses: Type of the mimic loss, or a pair of it and the outputs' item, by mimic.
    """
    student, source = detector, dict(source='head')
    if decomposed:
        fusion = dict(type='LocalAttentiveFusion')
        student = dict(type='DecomposedDetector', detector=detector, fusion=fusion)
        source = dict(source='motion_outputs')
    mimics = {}
    for name, loss in losses.items():
        loss, item = (loss, {}) if isinstance(loss, str) else (loss[0], dict(item=loss[1]))
        mimics[name] = dict(
            loss=dict(type=loss),
            student=dict(source, **item),
            teacher=dict(source='head', **item),
        )
    return dict(
        type='CrossModalDistiller',
        student=student,
        distill=dict(teacher=dict(modality=dict(type='TemporalGradientInput')), mimics=mimics),
        teacher_checkpoint=str(checkpoint),
    )


def check_distillation(tmp_path, detector, decomposed, **losses):
    """Distil ``detector(modality=...)``; check which parts each mimic's gradient reaches.

    The arguments that are not named here are those of :func:`head_distiller`.
    """
    path = write_teacher(tmp_path / 'teacher.pth', detector(modality='TemporalGradientInput'))
    model = build(head_distiller(detector(), path, decomposed, **losses))
    model.teacher.load()
    found = losses_of(model, raw_batch())
    student = model.student
    for name in losses:
        loss = found[f'loss_{name}']
        assert torch.isfinite(loss) and loss > 0
        assert reaches(loss, student.backbone)
        if decomposed:
            assert reaches(loss, student.shared_head)
            assert reaches(loss, student.neck.motion)
            assert not reaches(loss, student.neck.appearance)
            assert not reaches(loss, student.head)
        else:
            assert reaches(loss, student.head)
    assert all(p.grad is None for p in model.teacher.parameters())
    if decomposed:
        joint = sum(value for name, value in found.items() if name.startswith('joint_'))
        assert not any(g.any() for g in gradients(joint, student.shared_head))
