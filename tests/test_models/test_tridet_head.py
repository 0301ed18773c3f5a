"""TriDetHead against plain loops: boundary expectations, SGP layers, losses and candidates."""

import math

import pytest
import torch
from small_heads import features, instances, make, prefix_masks
from tiny_detectors import reaches

from mmtad_decomp.models.heads.tridet.sgp_encoder import (
    SGPEncoder,
    SGPLayer,
    wide_kernel_size,
)
from mmtad_decomp.models.heads.tridet.trident_branch import TridentBranch, expected_distances
from mmtad_decomp.models.heads.tridet.tridet_mimic_loss import TriDetMimicLoss
from mmtad_decomp.models.heads.tridet.tridet_outputs import TriDetOutputs
from mmtad_decomp.models.losses import PointPredictionMimicLoss
from mmtad_decomp.structures import PointOutputs


def softmax(values):
    top = max(values)
    exps = [math.exp(v - top) for v in values]
    return [e / sum(exps) for e in exps]


def loop_distance(response, offsets, t, direction):
    """Sum of b times the probability of bin b; ``offsets[b]`` is that of bin b."""
    near = []
    for b, offset in enumerate(offsets):
        at = t + direction * b
        near.append((response[at] if 0 <= at < len(response) else 0.0) + offset)
    return sum(b * p for b, p in enumerate(softmax(near)))


@pytest.mark.parametrize('bins', [1, 4, 9])
def test_boundary_expectations(bins):
    torch.manual_seed(0)
    start, end = (3 * torch.randn(2, 3, 7, dtype=torch.float64) for _ in range(2))
    center = 3 * torch.randn(2, 2 * (bins + 1), 7, dtype=torch.float64)
    found = expected_distances(start, end, center)
    for n in range(2):
        for k in range(3):
            for t in range(7):
                # The start's offsets come from the farthest bin to the nearest.
                left = center[n, : bins + 1, t].flip(0).tolist()
                right = center[n, bins + 1 :, t].tolist()
                expected = (
                    loop_distance(start[n, k].tolist(), left, t, -1),
                    loop_distance(end[n, k].tolist(), right, t, 1),
                )
                assert found[n, k, :, t].tolist() == pytest.approx(expected, abs=1e-12)


def test_a_sharp_response_is_the_boundary():
    start, end = torch.zeros(1, 1, 12), torch.zeros(1, 1, 12)
    start[..., 3], end[..., 9] = 50.0, 50.0
    found = expected_distances(start, end, torch.zeros(1, 18, 12))
    torch.testing.assert_close(found[0, 0, 0, 3:12], torch.arange(9.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, 0, 1, 1:10], torch.arange(8.0, -1, -1), atol=1e-4, rtol=0)


def test_no_gradient_flows_from_boundary_responses_into_the_pyramid():
    branch = TridentBranch(8, 8, 2, num_levels=1, num_bins=3)
    feats = torch.randn(1, 8, 6, requires_grad=True)
    torch.nn.init.constant_(branch.scales, 0.0)  # The centre's offsets are silent.
    (distances,) = branch([feats], [torch.ones(1, 6, dtype=torch.bool)])
    (gradient,) = torch.autograd.grad(distances.square().sum(), feats)
    assert not gradient.any()
    weights = list(branch.start.parameters()) + list(branch.end.parameters())
    assert any(g.any() for g in torch.autograd.grad(distances_of(branch, feats), weights))
    with pytest.raises(ValueError, match='num_bins'):
        TridentBranch(8, 8, 2, num_levels=1, num_bins=0)


def test_the_branch_reads_its_three_parts():
    torch.manual_seed(0)
    branch = TridentBranch(8, 8, 2, num_levels=2, num_bins=3).double()
    for part in (branch.start, branch.end):  # a response like those outside of the sequence
        assert not part.predictor.conv.bias.any()
    with torch.no_grad():
        branch.scales.copy_(torch.tensor([3.0, -2.0]))
    feats = [4 * torch.randn(1, 8, steps, dtype=torch.float64) for steps in (6, 3)]
    masks = [prefix_masks((length,), steps) for length, steps in ((5, 6), (3, 3))]
    found = branch(feats, masks)
    parts = (branch.start, branch.end, branch.center)
    levels = zip(found, *(part(feats, masks) for part in parts), masks, (3.0, -2.0))
    for distances, start, end, center, mask, scale in levels:
        center = [[max(v * scale, 0) for v in row] for row in center[0].tolist()]
        for t, valid in enumerate(mask[0].tolist()):
            left, right = [center[b][t] for b in (3, 2, 1, 0)], [row[t] for row in center[4:]]
            for k in range(2):
                expected = (
                    loop_distance(start[0, k].tolist(), left, t, -1) if valid else 0,
                    loop_distance(end[0, k].tolist(), right, t, 1) if valid else 0,
                )
                assert distances[0, k, :, t].tolist() == pytest.approx(expected, abs=1e-12)


def distances_of(branch, feats):
    return branch([feats], [torch.ones(1, 6, dtype=torch.bool)])[0].square().sum()


def depthwise(conv, x, c, t):
    """One output of a depth-wise convolution of ``x[c]``, zero outside."""
    kernel = conv.weight[c, 0].tolist()
    half = len(kernel) // 2
    steps = [t + i - half for i in range(len(kernel))]
    inside = [(w, x[c][s]) for w, s in zip(kernel, steps) if 0 <= s < len(x[c])]
    return sum(w * v for w, v in inside) + conv.bias[c].item()


def normalise(values, groups, weight, bias):
    """Group norm of ``values[c][t]``; with one step and one group, a layer norm."""
    size, result = len(values) // groups, []
    for c, row in enumerate(values):
        members = [v for other in values[c // size * size :][:size] for v in other]
        mean = sum(members) / len(members)
        variance = sum((v - mean) ** 2 for v in members) / len(members)
        result.append([(v - mean) / math.sqrt(variance + 1e-5) * weight[c] + bias[c] for v in row])
    return result


@pytest.mark.parametrize(('stride', 'kernel_size'), [(1, 1), (1, 3), (2, 3)])
def test_sgp_layer(stride, kernel_size):
    torch.manual_seed(0)
    layer = SGPLayer(
        8, kernel_size, 1.5, stride, mlp_dims=5, num_groups=2, init_std=0.7, layer_scale=0.5
    ).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 0.3, 0.5)
    x = torch.randn(1, 8, 7, dtype=torch.float64)
    found, mask = layer(x, torch.ones(1, 7, dtype=torch.bool))
    rows = x[0].tolist()
    if stride == 2:
        rows = [[max(row[max(2 * i - 1, 0) : 2 * i + 2]) for i in range(4)] for row in rows]
    steps = len(rows[0])
    assert mask.all() and found.shape == (1, 8, steps)
    norm = layer.norm1.weight.tolist(), layer.norm1.bias.tolist()
    columns = [normalise([[row[t]] for row in rows], 1, *norm) for t in range(steps)]
    normed = [[columns[t][c][0] for t in range(steps)] for c in range(8)]
    middle = [[0.0] * steps for _ in range(8)]
    for c in range(8):
        mean = sum(normed[c]) / steps
        gate = layer.instant_gate.weight[c].item() * mean + layer.instant_gate.bias[c].item()
        for t in range(steps):
            window = depthwise(layer.window.conv, normed, c, t)
            window += depthwise(layer.window_wide.conv, normed, c, t)
            value = depthwise(layer.instant.conv, normed, c, t) * max(gate, 0)
            value += window * depthwise(layer.window_gate.conv, normed, c, t) + normed[c][t]
            middle[c][t] = rows[c][t] + layer.drop_path1.scale[c].item() * value
    norm = layer.norm2.weight.tolist(), layer.norm2.bias.tolist()
    second = torch.tensor(normalise(middle, 2, *norm), dtype=torch.float64)
    expected = torch.tensor(middle, dtype=torch.float64)
    expected = expected + layer.drop_path2.scale[:, None] * layer.mlp(second[None])[0]
    torch.testing.assert_close(found[0], expected)


def test_padding_never_wins_the_pooling():
    torch.manual_seed(0)
    layer = SGPLayer(8, stride=2, num_groups=2, mlp_dims=5)
    x = -1 - torch.rand(1, 8, 7)
    plain, _ = layer(x, prefix_masks((7,), 7))
    padded, mask = layer(torch.nn.functional.pad(x, (0, 3)), prefix_masks((7,), 10))
    assert mask.tolist() == [[True] * 4 + [False]] and not padded[..., 4:].any()
    torch.testing.assert_close(padded[..., :4], plain)


def test_layers_of_the_encoder():
    """Padded steps stay zero whatever the biases; halving layers have options of their own."""
    torch.manual_seed(0)
    options = dict(kernel_size=3, drop_path=0.2, layer_scale=0.5, num_groups=2, mlp_dims=4)
    encoder = SGPEncoder(6, embed_dims=8, num_levels=3, **options)
    for name, parameter in encoder.named_parameters():
        if 'norm' in name:
            torch.nn.init.normal_(parameter)
    feats, mask = torch.randn(1, 6, 9), prefix_masks((5,), 9)
    feats = feats * mask[:, None]
    assert not encoder.embed(feats, mask)[..., 5:].any()
    levels, masks = encoder(feats, mask)
    assert [int(valid.sum()) for valid in masks] == [5, 3, 2]
    for x, valid in zip(levels, masks):
        assert x.abs().sum(dim=1).gt(0).equal(valid)
    assert len(encoder.stem) == len(encoder.branch) == 2
    for layers, width, rate, scale in (
        (encoder.stem, 1, 0.0, None),
        (encoder.branch, 3, 0.2, 0.5),
    ):
        for layer in layers:
            assert layer.window.conv.kernel_size == (width,)
            for path in (layer.drop_path1, layer.drop_path2):
                assert path.drop_prob == rate
                assert path.scale is None if scale is None else (path.scale == scale).all()


def test_width_of_the_wide_convolution():
    assert wide_kernel_size(1, 5) == 11  # TriDet's for THUMOS'14.
    assert wide_kernel_size(11, 1) == 13
    assert wide_kernel_size(3, 1.5) == 7


def focal(logit, positive):
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if positive else -0.75 * p**2 * math.log(1 - p)


def test_losses_against_loops():
    head = make('TriDetHead', num_levels=3, loss_norm=7.0).double()
    # The last instance has its centre in the padding.
    gt = [instances((1, 6, 0), (4, 15, 2)), instances((2, 7, 1), (2, 7, 2), (9, 17, 0))]
    outputs = head(features(2, 18).double(), prefix_masks((18, 11), 18))
    losses = head.loss_by_feat(outputs, gt)
    assert not reaches(losses['loss_cls'], head.boundary_branch), 'its weights are fixed'
    labels, offsets = head.targets(outputs, gt)
    valid = torch.cat(outputs.masks, dim=1)
    # The average moves by the points, of which some have two classes.
    count = 0.9 * 7 + 0.1 * (valid & labels.any(-1)).sum().item()
    cls, reg, p, positives = 0.0, 0.0, 0, 0
    for level, mask in enumerate(outputs.masks):
        for t in range(mask.shape[1]):
            for n in range(2):
                for k in range(3) if mask[n, t] else ():
                    logit = outputs.cls_logits[level][n, k, t].item()
                    if not labels[n, p, k]:
                        cls += focal(logit, False)
                        continue
                    left, right = outputs.offsets[level][n, k, :, t].tolist()
                    u, v = offsets[n, p].tolist()
                    hull = max(left, u) + max(right, v)
                    iou = (min(left, u) + min(right, v)) / hull
                    cls += focal(logit, True) * iou**0.2
                    gap = 0.5 * ((right - left) - (v - u))
                    reg += 1 - iou + (gap / hull) ** 2
                    positives += 1
            p += 1
    assert positives > 4 and labels.sum(-1).max() == 2
    assert losses['loss_cls'].item() == pytest.approx(cls / count, rel=1e-5)
    assert losses['loss_reg'].item() == pytest.approx(reg / count, rel=1e-5)


def test_each_class_has_its_own_segment():
    head = make('TriDetHead', num_levels=2, score_thr=0.0, min_length=-1.0)
    assert head.exported_lengths() == (2, None)
    outputs = head(features(1, 5), prefix_masks((5,), 5))
    (found,) = head.predict_by_feat(outputs)
    expected = {}
    for level, stride in enumerate((1, 2)):
        for t in range(outputs.masks[level].shape[1]):
            for k in range(3):
                left, right = (outputs.offsets[level][0, k, :, t] * stride).tolist()
                score = outputs.cls_logits[level][0, k, t].sigmoid().item()
                expected[round(score, 6), k] = (t * stride - left, t * stride + right)
    assert len(found.scores) == len(expected) == 3 * (5 + 3)
    rows = zip(found.scores.tolist(), found.labels.tolist(), found.segments.tolist())
    for score, label, segment in rows:
        assert segment == pytest.approx(expected[round(score, 6), label], abs=1e-4)


@pytest.mark.parametrize(('side', 'name'), enumerate(('left offset', 'right offset')))
def test_signals_name_the_side_that_died(side, name):
    torch.manual_seed(0)
    offsets = 1 + torch.rand(1, 3, 2, 9)
    offsets[:, :, side] = 0
    outputs = TriDetOutputs((torch.randn(1, 3, 9),), (offsets,), (prefix_masks((9,), 9),))
    found = []
    for signal in outputs.signals():
        figures = {key: [v.item() for v in values] for key, values in signal.figures().items()}
        found += signal.problems(figures)
    assert [text.split(' is ')[0] for text in found] == [f'the {name}'], found


def test_mimic_compares_boundaries_of_the_teachers_best_class():
    masks = prefix_masks((9, 6), 9)
    student, teacher = (
        make('TriDetHead', seed=s, num_levels=2)(features(2, 9), masks) for s in (0, 1)
    )
    sides = []
    for outputs in (student, teacher):
        levels = []
        for offsets, logits in zip(outputs.offsets, teacher.cls_logits):
            picked = torch.zeros(2, 2, offsets.shape[-1])
            for n in range(2):
                for t, best in enumerate(logits[n].argmax(dim=0).tolist()):
                    picked[n, :, t] = offsets[n, best, :, t]
            levels.append(picked)
        sides.append(PointOutputs(outputs.cls_logits, tuple(levels), outputs.masks))
    best = [torch.cat(x.cls_logits, dim=2).argmax(dim=1) for x in (student, teacher)]
    assert not torch.equal(*best)
    found, expected = TriDetMimicLoss()(student, teacher), PointPredictionMimicLoss()(*sides)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_it_learns_to_detect():
    """Two sequences are learnt by heart: the best candidates are their instances."""
    sizes = dict(embed_dims=32, mlp_dims=32, num_stem_layers=1, layer_scale=1.0, drop_path=0.0)
    head = make('TriDetHead', encoder=sizes, num_levels=3, loss_norm=10.0)
    feats, masks = features(2, 24), prefix_masks((24, 18), 24)
    gt = [instances((2, 8, 0), (11, 22, 2)), instances((4, 15, 1))]
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for _ in range(100):
        losses = head.loss_by_feat(head(feats, masks), gt)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    for wanted, found in zip(gt, head.eval().predict_by_feat(head(feats, masks))):
        for segment, label in zip(wanted.segments, wanted.labels):
            own = found[found.labels == label]
            best = own.segments[own.scores.argmax()]
            assert (best - segment).abs().max() < 1, (best, segment)
