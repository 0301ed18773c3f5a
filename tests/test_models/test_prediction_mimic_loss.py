"""PredictionMimicLoss: which loss it picks, its options and its errors."""

import pytest
import torch
from mmaction.registry import MODELS
from tiny_detectors import build, detector_config

from mmtad_decomp.models.losses import (
    OutputsMimicLoss,
    PointPredictionMimicLoss,
    PredictionMimicLoss,
)

SMALL = dict(GTADHead=dict(max_duration=4, channels=128), TadTRHead=dict(embed_dims=32))


def outputs_of(head, seed):
    """Outputs of an untrained head on random features."""
    config = dict(type=head, num_classes=3, in_channels=16, **SMALL.get(head, {}))
    if head == 'ActionFormerHead':
        config = detector_config()['head']
    if head == 'AFSDHead':
        config.update(channels=16, num_groups=4, num_levels=3, first_stride=2)
    model = build(config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return model(
            torch.randn(2, 16, 16, generator=generator), torch.ones(2, 16, dtype=torch.bool)
        )


@pytest.mark.parametrize(
    'head, loss',
    [
        ('ActionFormerHead', 'PointPredictionMimicLoss'),
        ('GTADHead', 'GTADPredictionMimicLoss'),
        ('TadTRHead', 'QueryPredictionMimicLoss'),
        ('AFSDHead', 'AFSDPredictionMimicLoss'),
        ('TAGSHead', 'MaskPredictionMimicLoss'),
    ],
)
def test_it_is_the_loss_of_the_kind_of_head(head, loss):
    student, teacher = outputs_of(head, 0), outputs_of(head, 1)
    expected = MODELS.build(dict(type=loss))(student, teacher)
    actual = PredictionMimicLoss()(student, teacher, torch.ones(2, 16, dtype=torch.bool))
    assert torch.equal(actual, expected) and actual > 0


def test_options_reach_the_picked_loss():
    student, teacher = outputs_of('ActionFormerHead', 0), outputs_of('ActionFormerHead', 1)
    options = dict(boundary='l1', temperature=2.0)
    expected = PointPredictionMimicLoss(**options)(student, teacher)
    loss = PredictionMimicLoss(options=dict(PointOutputs=options))
    assert torch.equal(loss(student, teacher), expected)
    assert not torch.equal(PredictionMimicLoss()(student, teacher), expected)
    with pytest.raises(ValueError, match=r"`options` names \['Points'\]; it takes .*PointOutputs"):
        PredictionMimicLoss(options=dict(Points=options))


def test_two_kinds_of_heads_are_refused():
    points, maps = outputs_of('ActionFormerHead', 0), outputs_of('GTADHead', 0)
    with pytest.raises(TypeError, match='teacher gives ScoreMapOutputs, PointPrediction'):
        PredictionMimicLoss()(points, maps)
    with pytest.raises(TypeError, match=r'student gives Tensor.*`source` and `item`'):
        PredictionMimicLoss()(torch.zeros(2), points)


def test_the_loss_of_a_new_kind_of_outputs_is_found(monkeypatch):
    monkeypatch.setattr(OutputsMimicLoss, 'by_outputs', dict(OutputsMimicLoss.by_outputs))

    class NewOutputs(tuple):
        pass

    class NewMimicLoss(OutputsMimicLoss):
        outputs = NewOutputs

        def compare(self, student, teacher):
            return (student[0] - teacher[0]).abs().sum()

    student, teacher = NewOutputs([torch.ones(3)]), NewOutputs([torch.zeros(3)])
    assert PredictionMimicLoss()(student, teacher) == 3
