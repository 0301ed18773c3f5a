"""TAGSHead: shapes, padding, losses, candidates, and its place in detectors and distillers."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from tiny_detectors import (
    NUM_CLASSES,
    build,
    check_distillation,
    detector_config,
)

from mmtad_decomp.models.heads import GlobalMaskBranch
from mmtad_decomp.models.heads.tags.global_mask_branch import class_log_odds
from mmtad_decomp.models.heads.tags.mask_candidates import longest_runs
from mmtad_decomp.models.losses import BranchConsistencyLoss, MaskBoundaryLoss, MaskDiceLoss
from mmtad_decomp.models.losses.sigmoid_focal_loss import sigmoid_focal_loss

HEAD = dict(
    type='TAGSHead',
    num_classes=NUM_CLASSES,
    in_channels=16,
    max_steps=12,
    channels=16,
    block=dict(num_heads=2, dropout=0.0),
    mask_branch=dict(channels=(12, 8)),
)
LOSSES = {'loss_cls', 'loss_mask', 'loss_dice', 'loss_boundary', 'loss_consistency'}


def make(seed=0, **kwargs):
    return build(dict(HEAD, **kwargs), seed)


def prefix_masks(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def instances(*segments, labels=None):
    segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    labels = torch.zeros(len(segments)) if labels is None else torch.tensor(labels)
    return InstanceData(segments=segments, labels=labels.long())


def features(batch, steps, seed=0):
    return torch.randn(batch, 16, steps, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('steps', [1, 2, 7, 12])
@pytest.mark.parametrize('num_classes', [1, 3])
@pytest.mark.parametrize('background', [False, True])
@pytest.mark.parametrize('relative', [False, True])
def test_any_length(steps, num_classes, background, relative):
    branch = dict(channels=(8,), relative=relative)
    head = make(num_classes=num_classes, background=background, mask_branch=branch)
    masks, seen = prefix_masks((steps, max(steps - 1, 0), 0), steps), []
    head.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    outputs = head(features(3, steps), masks)
    assert outputs.cls_logits.shape == (3, num_classes + background, steps)
    assert outputs.mask_logits.shape == (3, steps, steps)
    assert all((x >= 0).all() for x in seen)
    gt = [instances((0, 1)), instances(), instances()]
    losses = head.loss_by_feat(outputs, gt)
    assert set(losses) == LOSSES and all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())
    candidates = head.predict_by_feat(outputs)
    assert len(candidates[0].scores) > 0 and len(candidates[2].scores) == 0


@pytest.mark.parametrize('background', [False, True])
@pytest.mark.parametrize('relative', [False, True])
def test_padding_changes_nothing(background, relative):
    branch = dict(channels=(12, 8), relative=relative)
    head = make(background=background, mask_branch=branch).double()
    feats = features(1, 7).double()
    plain = head(feats, prefix_masks((7,), 7))
    noise = torch.full((1, 16, 4), float('nan')).double()
    padded = head(torch.cat((feats, noise), dim=2), prefix_masks((7,), 11))
    torch.testing.assert_close(padded.cls_logits[..., :7], plain.cls_logits)
    torch.testing.assert_close(padded.mask_logits[:, :7, :7], plain.mask_logits)
    assert not padded.mask_logits.sigmoid()[:, 7:].any()
    assert not padded.mask_logits.sigmoid()[..., 7:].any()
    gt = [instances((1.2, 4.0), (0, 7), labels=[0, 2])]
    losses = [head.loss_by_feat(outputs, gt) for outputs in (plain, padded)]
    for name in LOSSES:
        torch.testing.assert_close(losses[1][name], losses[0][name])
    own, other = head.predict_by_feat(plain)[0], head.predict_by_feat(padded)[0]
    torch.testing.assert_close(own.scores, other.scores)
    assert torch.equal(own.segments, other.segments) and torch.equal(own.labels, other.labels)


def test_without_ground_truth_masks_and_classes_shrink():
    head = make()
    outputs = head(features(2, 6), prefix_masks((6, 4), 6))
    losses = head.loss_by_feat(outputs, [instances(), instances()])
    assert losses['loss_dice'] == losses['loss_boundary'] == 0
    for loss, logits, valid in (
        ('loss_cls', outputs.cls_logits, outputs.masks[:, None].expand(-1, 3, -1)),
        ('loss_mask', outputs.mask_logits, outputs.masks[:, :, None] & outputs.masks[:, None]),
    ):
        grads = torch.autograd.grad(losses[loss], logits, retain_graph=True)[0]
        assert (grads[valid] > 0).all() and not grads[~valid].any()


def test_class_loss_of_independent_classes():
    head, masks = make().double(), prefix_masks((7, 3), 7)
    outputs = head(features(2, 7).double(), masks)
    gt = [instances((1, 3), (2, 5), labels=[0, 2]), instances()]
    target = torch.zeros(2, 3, 7)
    target[0, 0, 1:4] = target[0, 2, 2:6] = 1
    elements = sigmoid_focal_loss(outputs.cls_logits, target)
    expected = (elements[0].sum() + elements[1, :, :3].sum()) / 7
    torch.testing.assert_close(head.loss_by_feat(outputs, gt)['loss_cls'].double(), expected)


def test_class_loss_with_background_is_the_focal_cross_entropy_of_the_batch():
    head, masks = make(background=True), prefix_masks((7, 3), 7)
    feats = features(2, 7)
    (raw,) = head.cls_branch([head(feats, masks).embeddings], [masks])
    log_p = raw.double().log_softmax(dim=1)
    gt = [instances((1, 3), labels=[2]), instances((0, 9), labels=[0])]
    label = torch.tensor([[3, 2, 2, 2, 3, 3, 3], [0, 0, 0, 3, 3, 3, 3]])
    own = log_p.gather(1, label[:, None])[:, 0]
    mean = -own[masks].mean()
    expected = ((1 - (-mean).exp()) ** 2 * mean).item()  # of the batch, not of each snippet
    losses = head.loss_by_feat(head(feats, masks), gt)
    assert losses['loss_cls'].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('background', [False, True])
def test_losses_of_masks_and_their_weights(background):
    head, masks = make(background=background), prefix_masks((7, 3), 7)
    outputs = head(features(2, 7), masks)
    gt = [instances((1, 3), (2, 5), labels=[0, 2]), instances()]
    losses = head.loss_by_feat(outputs, gt)
    own = {1: (1, 4), 2: (1, 4), 3: (1, 4), 4: (2, 6), 5: (2, 6)}  # the shortest of each snippet
    scores, target = outputs.mask_logits.sigmoid(), torch.zeros(2, 7, 7, dtype=torch.bool)
    for t, (start, stop) in own.items():
        target[0, t, start:stop] = True
    pairs = [
        (n, t, s) for n, length in enumerate((7, 3)) for t in range(length) for s in range(length)
    ]
    parts = {True: [], False: []}
    for place in pairs:
        positive, score = target[place].item(), scores[place].item()
        parts[positive].append(-math.log(score if positive else 1 - score))
    entropy = sum(0.5 * sum(part) / len(part) for part in parts.values())
    assert losses['loss_mask'].item() == pytest.approx(0.4 * entropy, rel=1e-5)
    rows = scores[0, list(own)], target[0, list(own)]
    assert losses['loss_dice'].item() == pytest.approx(0.6 * MaskDiceLoss()(*rows).item())
    assert losses['loss_boundary'].item() == pytest.approx(0.2 * MaskBoundaryLoss()(*rows).item())
    # The best class of each snippet, without the background, and the best mask on each step.
    best = [torch.zeros(2, 7), torch.zeros(2, 7)]
    for n in range(2):
        for t in range(7):
            best[0][n, t] = max(outputs.cls_logits[n, k, t].sigmoid() for k in range(NUM_CLASSES))
            best[1][n, t] = max(scores[n, snippet, t] for snippet in range(7))
    expected = 0.1 * BranchConsistencyLoss()(outputs.embeddings, *best, masks).item()
    assert losses['loss_consistency'].item() == pytest.approx(expected, rel=1e-4)


def test_log_odds():
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0)) * 4
    torch.testing.assert_close(class_log_odds(logits).sigmoid(), logits.softmax(dim=1))
    certain = class_log_odds(torch.tensor([[200.0, 0.0]])[..., None].requires_grad_())
    assert torch.isfinite(certain).all()
    certain.sum().backward()


@pytest.mark.parametrize('relative', [False, True])
def test_mask_channels_are_steps(relative):
    torch.manual_seed(0)
    branch, masks = GlobalMaskBranch(16, 9, (5,), relative=relative), prefix_masks((6, 4), 6)
    feats = features(2, 6)
    conv = branch.convs[0].conv
    hidden = F.conv1d(feats, conv.weight, conv.bias, padding=1).clamp(min=0) * masks[:, None]
    logits, channels = branch(feats, masks), branch.predictor(hidden)
    assert channels.shape[1] == (17 if relative else 9)
    for t in range(6):
        for s in range(6):
            channel = s - t + 8 if relative else s
            torch.testing.assert_close(logits[:, t, s], channels[:, channel, t])


def test_relative_masks_move_with_the_action():
    torch.manual_seed(0)
    branch = GlobalMaskBranch(16, 12, (8,))
    feats = torch.zeros(1, 16, 12)
    feats[..., 4:7] = features(1, 3)
    moved = branch(feats.roll(2, dims=2), prefix_masks((12,), 12))
    logits = branch(feats, prefix_masks((12,), 12))
    torch.testing.assert_close(moved[:, 3:11, 3:11], logits[:, 1:9, 1:9])


def reference_run(row):
    """First step of the longest run of True and the step behind it."""
    best, start = (0, 0), None
    for t, value in enumerate([*row, False]):
        if value and start is None:
            start = t
        if not value and start is not None:
            if t - start > best[1] - best[0]:
                best = (start, t)
            start = None
    return best


def test_longest_runs_against_loops():
    inside = torch.rand(200, 9, generator=torch.Generator().manual_seed(0)) < 0.6
    inside[0], inside[1] = True, False
    found = torch.stack(longest_runs(inside), dim=1)
    for row, (start, stop) in zip(inside.tolist(), found.tolist()):
        expected = reference_run(row)
        assert (start, stop) == expected or (start == stop and not any(row))


@pytest.mark.parametrize('background', [False, True])
def test_candidates_against_loops(background):
    thresholds = (0.45, 0.5, 0.55)
    head = make(background=background, mask_thrs=thresholds, score_thr=0.002).double()
    outputs = head(features(2, 7).double(), prefix_masks((7, 3), 7))
    classes = outputs.cls_logits.float().sigmoid()
    masks = outputs.mask_logits.float().sigmoid()
    for n in range(2):
        expected = {}
        for k in range(NUM_CLASSES):
            for t in range(7):
                for threshold in thresholds:
                    row = masks[n, t].tolist()
                    start, stop = reference_run([m > threshold for m in row])
                    if stop > start and classes[n, k, t] > 0.002:
                        score = sum(row[start:stop]) / (stop - start) * classes[n, k, t].item()
                        key = (start - 0.5, stop - 0.5, k)
                        if score > 0.002:
                            expected[key] = max(expected.get(key, 0), score)
        found = head.predict_by_feat(outputs)[n]
        assert len(expected) > 3 and len(found.scores) == len(expected)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        for segment, label, score in zip(
            *(found[k].tolist() for k in ('segments', 'labels', 'scores'))
        ):
            assert score == pytest.approx(expected[(*segment, label)], rel=1e-5)


def test_best_candidates_above_a_score():
    options = dict(mask_thrs=(0.45, 0.5, 0.55))
    outputs = make()(features(1, 7), prefix_masks((7,), 7))
    everything = make(**options).predict_by_feat(outputs)[0]
    assert torch.equal(
        make(nms_pre=4, **options).predict_by_feat(outputs)[0].scores, everything.scores[:4]
    )
    few = make(num_snippets=2, **options).predict_by_feat(outputs)[0]
    assert 0 < len(few.scores) <= 6
    above = (
        make(score_thr=everything.scores[9].item(), **options).predict_by_feat(outputs)[0].scores
    )
    assert len(above) == int((everything.scores > everything.scores[9]).sum())


def test_perfect_masks_give_the_instances():
    head, masks = make(), prefix_masks((12,), 12)
    outputs = head(features(1, 12), masks)
    gt = [instances((0.6, 3.4), (4.6, 9.4), labels=[1, 2])]
    targets = head.targets(outputs, gt)
    perfect = outputs._replace(
        cls_logits=(targets.labels.float() - 0.5) * 40,
        mask_logits=(targets.masks.float() - 0.5) * 40,
    )
    found = head.predict_by_feat(perfect)[0]
    rows = [(*s, k) for s, k in zip(found.segments.tolist(), found.labels.tolist())]
    instances_found = {(0.5, 3.5, 1), (4.5, 9.5, 2)}
    # the release's threshold 0 cuts no step off: whole windows, by their mean score
    assert {*rows} - instances_found == {(-0.5, 11.5, 1), (-0.5, 11.5, 2)}
    whole = torch.tensor([row not in instances_found for row in rows])
    assert instances_found <= {*rows} and all(found.scores[~whole] > 0.999)
    assert found.scores[whole].max() < found.scores[~whole].min()
    losses = head.loss_by_feat(perfect, gt)
    assert all(losses[name] < 1e-3 for name in LOSSES - {'loss_consistency'})


def test_errors_name_the_option():
    with pytest.raises(ValueError, match='max_steps'):
        make()(torch.zeros(1, 16, 13), prefix_masks((13,), 13))


def tags_detector(**kwargs):
    return dict(detector_config(**kwargs), head=copy.deepcopy(HEAD))


@pytest.mark.parametrize('decomposed', [False, True])
def test_distilled(tmp_path, decomposed):
    check_distillation(
        tmp_path,
        tags_detector,
        decomposed,
        segments=('ScoreMapMimicLoss', 'mask_logits'),
    )


def test_under_bfloat16_autocast():
    head = make()
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(features(1, 8), prefix_masks((8,), 8))
        losses = head.loss_by_feat(outputs, [instances((1, 5))])
        assert len(head.predict_by_feat(outputs)[0].scores) > 0
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    exact = make()(features(1, 8), prefix_masks((8,), 8))
    torch.testing.assert_close(outputs.mask_logits.float(), exact.mask_logits, rtol=0.1, atol=0.1)


@pytest.mark.parametrize('background', [False, True])
def test_it_learns_to_detect(background):
    """Two sequences are learnt by heart: the best candidates are their instances."""
    head, masks = make(background=background), prefix_masks((12, 9), 12)
    feats = features(2, 12)
    gt = [instances((0.6, 3.4), (4.6, 10.4), labels=[0, 2]), instances((1.6, 6.4), labels=[1])]
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(120):
        losses = head.loss_by_feat(head(feats, masks), gt)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    rows = [[(0.5, 3.5, 0), (4.5, 10.5, 2)], [(1.5, 6.5, 1)]]
    for wanted, found in zip(rows, head.predict_by_feat(head(feats, masks))):
        best = zip(found.segments.tolist(), found.labels.tolist())
        assert {(*s, k) for s, k in list(best)[: len(wanted)]} == set(wanted)
