"""No output of a head can lose its gradient for good: pushed too far, it still has one."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

import mmtad_decomp.models  # noqa: F401
from mmtad_decomp.models.layers import recoverable_sigmoid, straight_through_clamp
from mmtad_decomp.models.losses import (
    AFSDPredictionMimicLoss,
    BoundaryActivationLoss,
    GTADPredictionMimicLoss,
    MaskPredictionMimicLoss,
    PointPredictionMimicLoss,
    QueryPredictionMimicLoss,
    ScoreMapMimicLoss,
)

STEPS = 16
HEADS = {
    'ActionFormerHead': dict(num_levels=2, encoder=dict(embed_dims=16, window_size=5)),
    'AFSDHead': dict(channels=16, num_levels=2, first_stride=1, num_groups=4),
    'GTADHead': dict(
        max_duration=STEPS,
        channels=16,
        embed_groups=2,
        graph=dict(groups=4, width_per_group=4),
        map_branch=dict(align_channels=8, map_channels=8),
        loss_reg=dict(draw=False),
    ),
    'TadTRHead': dict(
        embed_dims=16,
        hidden_dims=16,
        num_queries=6,
        num_encoder_layers=1,
        num_decoder_layers=2,
        num_heads=2,
        num_groups=4,
        dropout=0.0,
    ),
    'TAGSHead': dict(
        channels=16, max_steps=STEPS, block=dict(dropout=0.0), mask_branch=dict(channels=(8,))
    ),
}
# The last layer of every output.
OUTPUTS = {
    'ActionFormerHead': ['cls_branch.predictor.conv', 'reg_branch.predictor.conv'],
    'AFSDHead': [
        'classifier.conv',
        'offsets.predictor.conv',
        'refined_classifier.conv',
        'refined_offsets.conv',
        'quality.conv',
    ],
    'GTADHead': ['map_branch.predictor', 'start_branch.predictor', 'end_branch.predictor'],
    'TadTRHead': [
        'decoder.cls_branches.0',
        'decoder.cls_branches.1',
        'decoder.segment_branches.0.4',
        'decoder.segment_branches.1.4',
        'actionness.mlp.4',
    ],
    'TAGSHead': ['cls_branch.predictor.conv', 'mask_branch.predictor'],
}
MIMICS = {
    'ActionFormerHead': PointPredictionMimicLoss(),
    'AFSDHead': AFSDPredictionMimicLoss(),
    'GTADHead': GTADPredictionMimicLoss(),
    'TadTRHead': QueryPredictionMimicLoss(),
    'TAGSHead': MaskPredictionMimicLoss(),
}
CASES = [(head, output) for head, outputs in OUTPUTS.items() for output in outputs]
# From edge to edge of steps, so that a pair of G-TAD's map fits each.
GT = [InstanceData(segments=torch.tensor([[1.5, 6.5], [7.5, 13.5]]), labels=torch.tensor([0, 1]))]
# Far below what rounding leaves of a lost gradient, and what Adam (eps 1e-8) still follows.
ALIVE = 1e-9


def build(name, seed=0, **options):
    torch.manual_seed(seed)
    return MODELS.build(dict(type=name, num_classes=2, in_channels=8, **HEADS[name], **options))


def run(head, seed=1):
    torch.manual_seed(seed)
    return head(torch.randn(1, 8, STEPS), torch.ones(1, STEPS, dtype=torch.bool))


def push(head, output, bias):
    """Push every channel of an output's last layer far to one side; 0 also takes its weights."""
    layer = head.get_submodule(output)
    with torch.no_grad():
        layer.bias.fill_(bias)
        if bias == 0:
            layer.weight.zero_()
    return layer


def assert_recovers(gradient):
    assert torch.isfinite(gradient).all()
    assert gradient.abs().min() > ALIVE, gradient


@pytest.mark.parametrize('bias', [-50.0, 0.0, 50.0])
@pytest.mark.parametrize('name, output', CASES)
def test_losses_reach_every_output(name, output, bias):
    head = build(name)
    layer = push(head, output, bias)
    sum(head.loss_by_feat(run(head), GT).values()).backward()
    gradient = layer.bias.grad
    if output == 'mask_branch.predictor':  # Steps far from any instance are right to be low.
        gradient = gradient[STEPS - 6 : STEPS + 5]
    assert_recovers(gradient)


@pytest.mark.parametrize('bias', [-50.0, 0.0, 50.0])
@pytest.mark.parametrize('name, output', CASES)
def test_mimics_reach_every_output(name, output, bias):
    with torch.no_grad():
        teacher = run(build(name, seed=2))
    head = build(name)
    layer = push(head, output, bias)
    MIMICS[name](run(head), teacher).backward()
    assert_recovers(layer.bias.grad)


@pytest.mark.parametrize('scale', [0.0, -1.0])
@pytest.mark.parametrize('name', ['ActionFormerHead', 'AFSDHead'])
def test_scales_leave_zero_and_change_sign(name, scale):
    head = build(name)
    branch = head.reg_branch if name == 'ActionFormerHead' else head.offsets
    nn.init.constant_(branch.scales, scale)
    nn.init.constant_(branch.predictor.conv.bias, 0.5)
    sum(head.loss_by_feat(run(head), GT).values()).backward()
    assert_recovers(branch.scales.grad[0])
    if scale:
        assert_recovers(branch.predictor.conv.bias.grad)


@pytest.mark.parametrize('bias', [-50.0, 50.0])
def test_references_come_back(bias):
    head = build('TadTRHead')
    nn.init.constant_(head.decoder.reference.bias, bias)
    sum(head.loss_by_feat(run(head), GT).values()).backward()
    assert_recovers(head.decoder.reference.bias.grad)


def test_official_relu_is_what_dies():
    head = build('ActionFormerHead', offset_activation='relu')
    layer = push(head, 'reg_branch.predictor.conv', -50.0)
    sum(head.loss_by_feat(run(head), GT).values()).backward()
    assert (layer.bias.grad == 0).all()


@pytest.mark.parametrize('name', ['ActionFormerHead', 'AFSDHead'])
def test_a_pushed_offset_is_trained_back(name):
    head = build(name)
    output = next(o for o in OUTPUTS[name] if 'predictor' in o and 'cls' not in o)
    push(head, output, -12.0)
    optimizer = torch.optim.AdamW(head.parameters(), 0.3)
    reach = []
    for _ in range(80):
        outputs = run(head)
        optimizer.zero_grad()
        sum(head.loss_by_feat(outputs, GT).values()).backward()
        optimizer.step()
        offsets = outputs.offsets if name == 'ActionFormerHead' else outputs.coarse.offsets
        reach.append(torch.cat(offsets, dim=2).amax(dim=(0, 2)))
    assert reach[0].max() < 1e-3
    assert reach[-1].min() > 0.5


@pytest.mark.parametrize('score', [0.0, 1.0])
def test_saturated_scores_of_a_localizer(score):
    student = torch.full((1, 1, 4), score, requires_grad=True)
    ScoreMapMimicLoss(from_logits=False)(student, torch.full((1, 1, 4), 0.5)).backward()
    assert_recovers(student.grad)


@pytest.mark.parametrize('activation', [0.0, 1.0])
def test_boundary_activations(activation):
    activations = torch.full((1, 2, 4), activation, requires_grad=True)
    targets = torch.full((1, 2, 4), 1 - activation)
    BoundaryActivationLoss()(activations, targets, torch.ones(1, 4, dtype=torch.bool)).backward()
    assert_recovers(activations.grad)


def test_exclusive_classes_of_tags():
    head = build('TAGSHead', background=True)
    bias = head.cls_branch.predictor.conv.bias
    with torch.no_grad():
        bias[2] = 50.0
    sum(head.loss_by_feat(run(head), GT).values()).backward()
    assert_recovers(bias.grad)


def test_values_are_the_plain_functions():
    x = torch.linspace(-40, 40, 81, dtype=torch.float64, requires_grad=True)
    clamped = straight_through_clamp(x, -10, 10)
    assert torch.equal(clamped, x.clamp(-10, 10))
    assert torch.equal(torch.autograd.grad(clamped.sum(), x)[0], torch.ones_like(x))
    torch.testing.assert_close(recoverable_sigmoid(x), x.sigmoid(), rtol=0, atol=1.1e-5)
    inner = torch.linspace(-11, 11, 9, dtype=torch.float64, requires_grad=True)
    assert torch.equal(recoverable_sigmoid(inner), inner.sigmoid())
    assert torch.autograd.gradcheck(recoverable_sigmoid, inner)
    assert recoverable_sigmoid(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
