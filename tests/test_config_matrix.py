"""Every backbone with every head, teacher and kind of distillation, composed as configs do it."""

from itertools import product

import pytest
from config_helpers import CONFIGS, build, check_predictions, load, take_step

BACKBONES = ('tsm18', 'tsm50', 'i3d', 'slowfast50')
MODALITIES = {'tg': 'TemporalGradientInput', 'of': 'OpticalFlowInput'}
CLASSES, WIDTH = 3, 128
SUFFIX = '_tsm18_small.py'
HEADS = sorted(
    path.name.removesuffix(SUFFIX) for path in (CONFIGS / '_base_/models').glob(f'*{SUFFIX}')
)


def detector(backbone, head):
    """The backbone's detector with the small head, both from ``configs/_base_/models``."""
    model = load(f'_base_/models/actionformer_{backbone}.py').model
    model.neck.out_channels = WIDTH
    model.head = load(f'_base_/models/{head}{SUFFIX}').model.head
    model.head.num_classes = CLASSES
    return model


def teacher(backbone, head, modality):
    """What the configs of ``configs/teacher`` change in a detector."""
    model = detector(backbone, head)
    model.data_preprocessor.modality = dict(type=MODALITIES[modality])
    if modality == 'of':
        model.backbone.update(in_channels=2, stem_init='average')
    return model


def distiller(backbone, head, modality, kind):
    """What the configs of ``configs/decomp`` and ``configs/conventional`` make of a detector."""
    fragment = load(f'_base_/distill/{kind}_{modality}.py')
    student = detector(backbone, head)
    if kind == 'decomp':
        student = dict(type='DecomposedDetector', detector=student, fusion=fragment.fusion)
    return dict(type='CrossModalDistiller', student=student, distill=fragment.distill)


@pytest.mark.parametrize(
    ('backbone', 'head', 'modality', 'kind'),
    product(BACKBONES, HEADS, MODALITIES, ('none', 'conventional', 'decomp')),
)
def test_cell(backbone, head, modality, kind):
    if kind == 'none':
        model = build(teacher(backbone, head, modality))
    else:
        model = build(distiller(backbone, head, modality, kind))
    take_step(model, CLASSES)
    if kind == 'none' or modality == 'tg':  # a student is the same whatever teaches it
        check_predictions(model, CLASSES)
