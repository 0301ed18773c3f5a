"""What detectors, distillers and metrics expect of every registered head."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from small_heads import (
    HEADS,
    NUM_CLASSES,
    OPTIONS,
    WIDTH,
    features,
    head_config,
    instances,
    make,
    prefix_masks,
    without_chance,
)
from tiny_detectors import (
    build,
    check_distillation,
    detector_config,
    losses_of,
    raw_batch,
    reaches,
)

from mmtad_decomp.models.losses import OutputsMimicLoss, PredictionMimicLoss

GT = [instances((1, 9, 0), (12, 15, 2)), instances((2, 4, 1)), instances()]


def detector(name, **kwargs):
    """A detector of frames with a head."""
    config = detector_config(width=WIDTH, **kwargs)
    return dict(config, head=head_config(name))


def assert_finite_gradients(head):
    for name, parameter in head.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_every_head_has_a_small_config_and_a_title():
    assert set(HEADS) == set(OPTIONS), 'configs/_base_/models/<head>_tsm18_small.py'
    titles = [MODELS.get(name).title for name in HEADS]
    assert len(set(titles)) == len(HEADS)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('steps', [1, 2, 7, 20])
def test_any_length(name, steps):
    """With a full window, a shorter one and one without valid steps."""
    head = make(name)
    outputs = head(features(3, steps), prefix_masks((steps, max(steps - 1, 1), 0), steps))
    losses = head.loss_by_feat(outputs, [instances((0, 1, 1)), *GT[1:]])
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values()), losses
    sum(losses.values()).backward()
    assert_finite_gradients(head)
    found = head.eval().predict_by_feat(outputs)
    assert len(found) == 3 and len(found[2].scores) == 0
    for candidates in found:
        assert candidates.segments.shape == (len(candidates.scores), 2)
        assert torch.isfinite(candidates.segments).all()
        assert (candidates.segments[:, 0] <= candidates.segments[:, 1]).all()
        assert ((candidates.scores >= 0) & (candidates.scores <= 1)).all()
        assert ((candidates.labels >= 0) & (candidates.labels < NUM_CLASSES)).all()


@pytest.mark.parametrize('name', HEADS)
def test_padding_changes_nothing(name):
    head, gt = without_chance(make(name).double()), [instances((1, 4, 0), (0, 6, 2))]
    feats = features(1, 7).double()
    padded = torch.full((1, WIDTH, 11), 50.0).double()
    padded[..., :7] = feats
    pair = [head(feats, prefix_masks((7,), 7)), head(padded, prefix_masks((7,), 11))]
    plain, other = (head.loss_by_feat(outputs, gt) for outputs in pair)
    for key, loss in plain.items():
        torch.testing.assert_close(other[key], loss)
    plain, other = (head.predict_by_feat(outputs)[0] for outputs in pair)
    torch.testing.assert_close(other.scores, plain.scores)
    torch.testing.assert_close(other.segments, plain.segments)
    assert len(plain.scores) > 0 and torch.equal(other.labels, plain.labels)


@pytest.mark.parametrize('name', HEADS)
def test_a_batch_gives_what_its_windows_give_alone(name):
    head, feats, lengths = without_chance(make(name).double()), features(3, 12), (12, 7, 1)
    together = head.predict_by_feat(head(feats.double(), prefix_masks(lengths, 12)))
    for n, length in enumerate(lengths):
        outputs = head(feats[n : n + 1, :, :length].double(), prefix_masks((length,), length))
        alone = head.predict_by_feat(outputs)[0]
        torch.testing.assert_close(together[n].scores, alone.scores)
        torch.testing.assert_close(together[n].segments, alone.segments)


@pytest.mark.parametrize('name', HEADS)
def test_every_weight_learns(name):
    """From ground truth of all lengths, and from instances that the head already finds."""
    head, steps = make(name), 40
    feats, masks = features(2, steps), prefix_masks((steps, 30), steps)
    with torch.no_grad():
        found = without_chance(head).predict_by_feat(head(feats, masks))
    gt = []
    for candidates in found:
        best = candidates[candidates.scores.argsort(descending=True)[::7][:40]]
        kept = best[best.segments[:, 1] - best.segments[:, 0] > 0.5]
        rows = torch.cat((kept.segments, kept.labels[:, None]), dim=1).tolist()
        gt.append(instances(*rows, (0, 30, 0), (3, 19, 1), (8, 16, 2), (10, 12, 1)))
    losses = head.train().loss_by_feat(head(feats, masks), gt)
    sum(losses.values()).backward()
    silent = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert_finite_gradients(head)


@pytest.mark.parametrize('name', HEADS)
def test_names_of_losses_do_not_depend_on_the_ground_truth(name):
    head = make(name)
    outputs = head(features(3, 12), prefix_masks((12, 5, 3), 12))
    losses = [head.loss_by_feat(outputs, gt) for gt in (GT, [instances()] * 3)]
    assert set(losses[0]) == set(losses[1])
    assert sum(losses[1].values()) > 0
    sum(losses[1].values()).backward()
    assert_finite_gradients(head)


@pytest.mark.parametrize('name', HEADS)
def test_ground_truth_of_any_kind(name):
    """Without length, between two steps, on top of each other, and longer than the window."""
    head = make(name)
    outputs = head(features(3, 12), prefix_masks((12, 12, 5), 12))
    gt = [
        instances((5, 5, 0), (0, 11, 1), (0, 11, 1)),
        instances((-40, 90, 2)),
        instances((3.1, 3.4, 1), (9, 30, 0)),
    ]
    losses = head.loss_by_feat(outputs, gt)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert_finite_gradients(head)


@pytest.mark.parametrize('name', HEADS)
def test_a_batch_without_valid_steps(name):
    head = make(name)
    outputs = head(features(2, 6), prefix_masks((0, 0), 6))
    losses = head.loss_by_feat(outputs, GT[:2])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert_finite_gradients(head)
    assert [len(found.scores) for found in head.predict_by_feat(outputs)] == [0, 0]


@pytest.mark.parametrize('name', HEADS)
def test_outputs_can_be_mimicked_and_watched(name):
    """Each type of outputs has a mimic loss and signals."""
    masks, feats = prefix_masks((12, 5), 12), features(2, 12)
    student, teacher = make(name), make(name, seed=1)
    own, other = (without_chance(head)(feats, masks) for head in (student, teacher))
    mimic = OutputsMimicLoss.by_outputs[type(own).__name__]()
    loss = PredictionMimicLoss()(own, other)
    assert loss > 0 and torch.equal(loss, mimic(own, other))
    assert PredictionMimicLoss()(own, own) < loss
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert any('class score' in signal.name for signal in own.signals())


@pytest.mark.parametrize('name', HEADS)
def test_losses_under_bfloat16_autocast_are_float32(name):
    head = make(name)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(features(2, 12), prefix_masks((12, 5), 12))
        losses = head.loss_by_feat(outputs, GT[:2])
        head.predict_by_feat(outputs)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize('name', HEADS)
def test_features_of_another_width_are_refused(name):
    with pytest.raises(ValueError, match='in_channels'):
        make(name)(features(1, 4)[:, 1:], prefix_masks((4,), 4))


@pytest.mark.parametrize('name', HEADS)
def test_training_and_detection_in_a_detector(name):
    model = build(detector(name))
    total = sum(losses_of(model, raw_batch()).values())
    assert reaches(total, model.backbone) and reaches(total, model.neck)
    with torch.no_grad():
        samples = model.eval().val_step(raw_batch())
    for sample in samples:  # Windows of 8 and 6 frames at 10 fps.
        segments = sample.pred_instances.segments
        assert len(segments) > 0
        assert (segments[:, 0] < sample.duration).all() and (segments[:, 1] > 0).all()


@pytest.mark.parametrize('name', HEADS)
def test_one_class_learns_every_label_as_it(name):
    first, other = (losses_with_one_class(name, [label]) for label in (0, 2))
    torch.testing.assert_close(first, other)


@pytest.mark.parametrize('name', HEADS)
def test_one_class_learns_an_instance_of_two_classes_once(name):
    once, twice = (losses_with_one_class(name, labels) for labels in ([0], [0, 1]))
    torch.testing.assert_close(once, twice)


def losses_with_one_class(name, labels):
    """Losses of a class-agnostic head where every segment has all these labels."""
    config = detector(name)
    config['head']['num_classes'] = 1
    model, batch = build(config), raw_batch()
    for sample in batch['data_samples']:
        segments = sample.gt_instances.segments
        sample.gt_instances = InstanceData(
            segments=segments.repeat(len(labels), 1),
            labels=torch.tensor(labels).repeat_interleave(len(segments)),
        )
    torch.manual_seed(0)
    return losses_of(model, batch)


@pytest.mark.parametrize('name', HEADS)
def test_features_from_files(name):
    model = MODELS.build(dict(type='TADDetector', head=copy.deepcopy(head_config(name))))
    feats, masks = features(2, 9), prefix_masks((9, 4), 9)
    outputs = model(feats, masks)
    assert type(outputs) is type(model.head(feats, masks))


@pytest.mark.parametrize('decomposed', [False, True])
@pytest.mark.parametrize('name', HEADS)
def test_distillation(tmp_path, name, decomposed):
    check_distillation(
        tmp_path,
        lambda **kwargs: detector(name, **kwargs),
        decomposed,
        prediction='PredictionMimicLoss',
    )
