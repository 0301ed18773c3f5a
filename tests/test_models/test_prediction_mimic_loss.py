"""PredictionMimicLoss: its options and its errors; the heads' contract tests what it picks."""

import pytest
import torch
from small_heads import features, make, prefix_masks

from mmtad_decomp.models.losses import (
    OutputsMimicLoss,
    PointPredictionMimicLoss,
    PredictionMimicLoss,
)


def outputs_of(head, seed):
    """Outputs of an untrained head on random features."""
    with torch.no_grad():
        return make(head, seed).eval()(features(2, 16, seed), prefix_masks((16, 16), 16))


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
