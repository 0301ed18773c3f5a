"""Which settings of a config change what its network computes at inference."""

import inspect

import pytest
from mmaction.registry import MODELS
from torch import nn

from mmtad_decomp.apis import network_differences as rules
from mmtad_decomp.apis.network_differences import network_differences

TRAINING = {
    'AFSDHead': dict(
        refine_iou=0.4,
        refine_weight=3.0,
        quality_weight=0.5,
        loss_boundary=None,
        branch_boundary_weight=0.2,
        contrast_background=2.0,
        assigner=dict(radius=2.0),
    ),
    'DecomposedDetector': dict(appearance_weight=0.5, separate_heads=True, motion_drop_rate=0.1),
    'DecomposedLocalizer': dict(appearance_weight=0.5),
    'GTADHead': dict(
        positive_iou=0.8,
        best_iou=None,
        positive_node=0.4,
        target_generator=dict(),
        loss_reg=dict(loss_weight=10.0),
    ),
    'TadTRHead': dict(l1_weight=2.0, actionness_weight=1.0, assigner=dict(l1_weight=2.0)),
    'TriDetHead': dict(iou_power=0.5, encoder=dict(drop_path=0.3, layer_scale=0.1)),
}
INFERENCE = {
    'AFSDHead': dict(first_stride=8, inner=5, outer=5),
    'GTADHead': dict(peak_ratio=0.25, embed_groups=2, graph=dict(num_neighbours=5)),
    'LocalAttentiveFusion': dict(window=3, residual=False),
    'TadTRHead': dict(num_heads=4, roi_scale=2.0, with_actionness=False),
    'TADDataPreprocessor': dict(pad_to=64, modality=dict(std=3.0)),
    'TriDetHead': dict(num_bins=8),
}


def differing(kind, **settings):
    """Keys in which the class with these settings differs from the one with its defaults."""
    changed = network_differences(dict(type=kind, **settings), dict(type=kind), 'model')
    return {difference.key.removeprefix('model.') for difference in changed}


@pytest.mark.parametrize('kind', TRAINING)
def test_settings_of_losses_are_of_no_account(kind):
    assert set(TRAINING[kind]) <= arguments(kind)
    assert differing(kind, **TRAINING[kind]) == set()


@pytest.mark.parametrize('kind', INFERENCE)
def test_settings_of_the_network_count(kind):
    assert set(INFERENCE[kind]) <= arguments(kind)
    keys = {key.split('.')[0] for key in differing(kind, **INFERENCE[kind])}
    assert keys == set(INFERENCE[kind])


ENCODER = dict(type='ConvTransformerEncoder', drop_path=0.3)


@pytest.mark.parametrize(
    ('kind', 'part', 'counts'),
    [
        ('ActionFormerHead', dict(encoder=ENCODER), False),
        ('ActionFormerHead', dict(encoder=dict(ENCODER, num_heads=4)), False),  # its default
        ('ActionFormerHead', dict(encoder=dict(ENCODER, num_heads=2)), True),
        ('TAGSHead', dict(block=dict(dropout=0.1)), False),
        ('TAGSHead', dict(block=dict(num_heads=2)), True),
        ('GTADHead', dict(graph={}), False),
        ('GTADHead', dict(graph=dict(num_neighbours=5)), True),
        ('TADDetector', dict(neck=dict(type='TemporalProjection', in_channels=4)), True),
    ],
)
def test_a_part_of_one_config_alone_counts_by_what_it_sets(kind, part, counts):
    (key,) = part
    trained = network_differences(dict(type=kind, **part), dict(type=kind), 'model')
    given = network_differences(dict(type=kind), dict(type=kind, **part), 'model')
    assert any(trained) == counts
    assert [tuple(d) for d in given] == ([(f'model.{key}', None, part[key])] if counts else [])


IGNORED_BY_THEIR_FORM = """
actionness_weight appearance_weight boundary_weight branch_boundary_weight class_weight
coarse_weight drop_path drop_prob dropout giou_weight iou_weight l1_weight loss_boundary loss_cls
loss_consistency loss_contrast loss_dice loss_iou loss_mask loss_node loss_norm loss_norm_momentum
loss_reg loss_weight mask_weight motion_drop_rate node_weight quality_weight refine_weight
refined_weight segment_weight
"""


def test_no_argument_is_ignored_by_chance():
    """A new argument whose name looks like a loss's must be meant to change no output."""
    listed = rules._TRAINING | rules._EXECUTION | rules._SELECTION
    ignored = {
        name
        for part in parts_of(nn.Module)
        if '__init__' in vars(part)
        for name in inspect.signature(part.__init__).parameters
        if rules._is_ignored(name)
    }
    assert ignored - listed == set(IGNORED_BY_THEIR_FORM.split())
    of_mmaction2 = {'conv_cfg', 'partial_bn', 'pretrained', 'pretrained2d', 'train_cfg'}
    assert listed - ignored == of_mmaction2 | {'_scope_'}


def parts_of(base):
    for part in base.__subclasses__():
        if part.__module__.startswith('mmtad_decomp.models.'):
            yield part
        yield from parts_of(part)


def arguments(kind):
    """Names of the arguments that a class or its bases take, so that no name here is outdated."""
    classes = inspect.getmro(MODELS.get(kind))
    return {
        name
        for base in classes
        if '__init__' in vars(base)
        for name in inspect.signature(base.__init__).parameters
    }
