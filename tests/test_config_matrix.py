"""Every backbone with every head, teacher and kind of distillation, composed as configs do it."""

from itertools import product

import pytest
from config_helpers import build, check_predictions, load, take_step

BACKBONES = ('tsm18', 'tsm50', 'i3d', 'slowfast50')
MODALITIES = {'tg': 'TemporalGradientInput', 'of': 'OpticalFlowInput'}
CLASSES, WIDTH = 3, 32
HEADS = {
    'actionformer': dict(
        num_levels=3, encoder=dict(embed_dims=WIDTH, window_size=5, num_stem_layers=1)
    ),
    'afsd': dict(channels=WIDTH, num_groups=8, num_levels=3),
    'gtad': dict(
        channels=128, max_duration=8, map_branch=dict(align_channels=32, map_channels=32)
    ),
    'tadtr': dict(
        embed_dims=WIDTH,
        hidden_dims=64,
        num_heads=4,
        num_queries=8,
        num_encoder_layers=1,
        num_decoder_layers=2,
    ),
    'tags': dict(
        channels=WIDTH,
        max_steps=16,
        block=dict(num_heads=4, dropout=0.0),
        mask_branch=dict(channels=(WIDTH,)),
    ),
}


def detector(backbone, head):
    """The backbone's detector with the head, both from ``configs/_base_/models``, and narrow."""
    model = load(f'_base_/models/actionformer_{backbone}.py').model
    model.neck.out_channels = WIDTH
    model.head = load(f'_base_/models/{head}_tsm18.py').model.head
    model.head.update(num_classes=CLASSES, in_channels=WIDTH, **HEADS[head])
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
    check_predictions(model, CLASSES)
