"""Targets, losses and mimic of snippet classes and masks, against loops and plain formulas."""

import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmtad_decomp.models.losses import (
    BranchConsistencyLoss,
    MaskBoundaryLoss,
    MaskDiceLoss,
    MaskPredictionMimicLoss,
)
from mmtad_decomp.models.losses.mask_losses import mask_boundary
from mmtad_decomp.models.task_modules import mask_targets
from mmtad_decomp.structures import IMPOSSIBLE, MaskOutputs


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def draw(*shape, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator)


def instances(segments, labels):
    segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    return InstanceData(segments=segments, labels=torch.tensor(labels, dtype=torch.long))


# Nested, overlapping and equal instances, of one and of several classes; one cut on both sides,
# one between two steps, one outside of the window.
CASES = [
    ([(0.5, 6.2), (2.0, 4.5), (4.0, 8.0), (9.3, 9.6), (20.0, 30.0)], [0, 1, 0, 2, 1]),
    ([(-3.0, 2.0), (1.0, 40.0), (1.0, 40.0)], [1, 0, 2]),
    ([], []),
    ([(1.0, 2.0)], [0]),
]
LENGTHS = (11, 7, 5, 0)


def steps_of(segment, length):
    start, end = segment
    held = {t for t in range(length) if start <= t <= end}
    nearest = math.floor((start + end) / 2 + 0.5)
    return held or ({nearest} & set(range(length)))


@pytest.mark.parametrize('num_classes', [1, 3])
def test_targets_against_loops(num_classes):
    gt = [instances(*case) for case in CASES]
    labels, masks = mask_targets(prefix_masks(LENGTHS, 11), gt, num_classes)
    assert labels.shape == (4, num_classes, 11) and masks.shape == (4, 11, 11)
    for n, (segments, classes) in enumerate(CASES):
        for t in range(11):
            own = [
                (end - start, steps_of((start, end), LENGTHS[n]), k)
                for (start, end), k in zip(segments, classes)
                if t in steps_of((start, end), LENGTHS[n])
            ]
            found = {0} if own and num_classes == 1 else {k for *_, k in own}
            assert set(labels[n, :, t].nonzero().flatten().tolist()) == found
            shortest = min(own, key=lambda row: row[0])[1] if own else set()
            assert set(masks[n, t].nonzero().flatten().tolist()) == shortest


def test_a_short_instance_has_its_nearest_step():
    masks = mask_targets(prefix_masks((12,), 12), [instances([(9.3, 9.6)], [0])], 1).masks
    assert masks.nonzero().tolist() == [[0, 9, 9]]


def rows(seed=0):
    pred = draw(5, 9, seed=seed).sigmoid()
    target = torch.zeros(5, 9, dtype=torch.bool)
    for row, (start, stop) in enumerate([(0, 9), (0, 3), (4, 5), (2, 7), (6, 9)]):
        target[row, start:stop] = True
    return pred, target


def test_dice():
    pred, target = rows()
    expected = 0
    for p, g in zip(pred.tolist(), target.tolist()):
        inter = sum(a * b for a, b in zip(p, g))
        expected += 1 - (2 * inter + 1) / (sum(a * a for a in p) + sum(g) + 1)
    assert MaskDiceLoss(3.0)(pred, target).item() == pytest.approx(3 * expected / 5)
    assert MaskDiceLoss()(target.double(), target) == 0


def reference_boundary(mask, width):
    """Steps' values less the lowest within ``width``, what lies outside being 0."""
    inner = []
    for t in range(len(mask)):
        around = range(t - width, t + width + 1)
        inner.append(min(mask[s] if 0 <= s < len(mask) else 0.0 for s in around))
    return [m - i for m, i in zip(mask, inner)]


@pytest.mark.parametrize('width', [1, 2, 6])
def test_boundary_loss(width):
    pred, target = rows()
    expected = 0
    for p, g in zip(pred.tolist(), target.double().tolist()):
        own, other = reference_boundary(p, width), reference_boundary(g, width)
        inter = sum(min(pair) for pair in zip(own, other))
        expected += 1 - inter / sum(max(pair) for pair in zip(own, other))
    loss = MaskBoundaryLoss(width, loss_weight=2.0)(pred, target)
    assert loss.item() == pytest.approx(2 * expected / 5)


def test_boundary_of_binary_masks():
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 0, 1, 1]]).double()
    assert mask_boundary(mask).tolist() == [[0, 1, 0, 0, 0, 1, 0, 1, 1]]
    assert mask_boundary(mask, 2).tolist() == [[0, 1, 1, 0, 1, 1, 0, 1, 1]]
    assert MaskBoundaryLoss()(mask, mask) == 0
    shifted = mask.roll(-1, dims=1)  # 1 1 1 1 1 0 1 1 0: boundary steps 0, 4, 6, 7
    assert MaskBoundaryLoss()(shifted, mask).item() == pytest.approx(1 - 1 / 7)
    assert MaskBoundaryLoss()(0 * mask, 0 * mask) == 0


def test_boundary_gradient():
    logits, target = draw(5, 9).requires_grad_(), rows()[1]
    loss = MaskBoundaryLoss()
    assert torch.autograd.gradcheck(lambda x: loss(x.sigmoid(), target), logits)


@pytest.mark.parametrize('loss', [MaskDiceLoss(), MaskBoundaryLoss()])
def test_no_rows(loss):
    pred = torch.zeros(0, 9, requires_grad=True)
    value = loss(pred, torch.zeros(0, 9, dtype=torch.bool))
    value.backward()
    assert value == 0


def test_consistency():
    feats, valid = draw(3, 4, 7), prefix_masks((7, 4, 0), 7)
    scores = [draw(3, 7, seed=seed).sigmoid() for seed in (1, 2)]
    expected = 0
    for n, length in enumerate((7, 4)):
        means = []
        for score in scores:
            s = score[n, :length].tolist()
            taken = [t for t in range(length) if s[t] >= sum(s) / length]
            total = sum(s[t] for t in taken)
            means.append([sum(feats[n, c, t] * s[t] for t in taken) / total for c in range(4)])
        dot = sum(a * b for a, b in zip(*means))
        expected += 1 - dot / math.prod(math.sqrt(sum(a * a for a in mean)) for mean in means)
    loss = BranchConsistencyLoss(2.0)(feats, *scores, valid)
    assert loss.item() == pytest.approx(2 * float(expected) / 3)
    same = BranchConsistencyLoss()(feats, scores[0], scores[0], valid)
    assert abs(same.item()) < 1e-12
    alone = prefix_masks((1, 1, 1), feats.shape[2])  # one step scores as high as the mean
    assert abs(BranchConsistencyLoss()(feats, *scores, alone).item()) < 1e-12


def outputs(seed, classes=3, steps=6):
    masks = prefix_masks((steps, steps - 3), steps)
    pairs = masks[:, :, None] & masks[:, None]
    return MaskOutputs(
        draw(2, classes, steps, seed=seed).masked_fill(~masks[:, None], IMPOSSIBLE),
        draw(2, steps, steps, seed=seed + 10).masked_fill(~pairs, IMPOSSIBLE),
        draw(2, 4, steps, seed=seed + 20),
        masks,
    )


def reference_distance(student, teacher, temperature):
    total = weight = 0.0
    for s, t in zip(student, teacher):
        weight += 1 / (1 + math.exp(-t))
        own, soft = (1 / (1 + math.exp(-x / temperature)) for x in (s, t))
        total += soft * math.log(soft / own) + (1 - soft) * math.log((1 - soft) / (1 - own))
    return temperature**2 * total / max(weight, 1)


@pytest.mark.parametrize('temperature', [1.0, 2.5])
def test_mimic(temperature):
    student, teacher = outputs(0), outputs(1)
    cls, seg = [[], []], [[], []]
    for side, source in enumerate((student, teacher)):
        for n, length in enumerate((6, 3)):
            cls[side] += source.cls_logits[n, :, :length].flatten().tolist()
            seg[side] += source.mask_logits[n, :length, :length].flatten().tolist()
    expected = 2 * reference_distance(*cls, temperature) + 3 * reference_distance(
        *seg, temperature
    )
    loss = MaskPredictionMimicLoss(3.0, temperature=temperature, class_weight=2.0)(
        student, teacher
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_mimic_leaves_the_teacher_and_padding_alone():
    student, teacher = outputs(0), outputs(1)
    own = [student.cls_logits.clone().requires_grad_(), student.mask_logits.requires_grad_()]
    other = teacher.mask_logits.clone().requires_grad_()
    loss = MaskPredictionMimicLoss()(
        student._replace(cls_logits=own[0], mask_logits=own[1]),
        teacher._replace(mask_logits=other),
    )
    loss.backward()
    pairs = student.masks[:, :, None] & student.masks[:, None]
    assert other.grad is None
    assert own[1].grad[pairs].all() and not own[1].grad[~pairs].any()
    padded = torch.zeros_like(student.masks)
    assert MaskPredictionMimicLoss()(student._replace(masks=padded), teacher) == 0


def test_errors_say_what_differs():
    with pytest.raises(
        TypeError, match=r'teacher gives Tensor, MaskPrediction.* compares MaskOutputs'
    ):
        MaskPredictionMimicLoss()(outputs(0), outputs(0).cls_logits)
    with pytest.raises(ValueError, match='same classes'):
        MaskPredictionMimicLoss()(outputs(0), outputs(0, classes=2))
    with pytest.raises(ValueError, match='width must be at least 1'):
        MaskBoundaryLoss(width=0)
