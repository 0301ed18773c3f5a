"""TadTR's head: padding, losses against formulas in plain Python, candidates, errors."""

import itertools
import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from tiny_detectors import reaches

import mmtad_decomp.models  # noqa: F401
from mmtad_decomp.models.heads.tadtr.tadtr_encoder import relative_positions
from mmtad_decomp.structures import QueryOutputs

SMALL = dict(
    type='TadTRHead',
    num_classes=3,
    in_channels=6,
    embed_dims=16,
    num_queries=5,
    num_encoder_layers=2,
    num_decoder_layers=2,
    hidden_dims=24,
    num_heads=2,
    num_groups=4,
    roi_bins=4,
    dropout=0.0,
)


def build(seed=0, **options):
    """A head whose every weight matters: those that start at zero are drawn too."""
    torch.manual_seed(seed)
    head = MODELS.build({**SMALL, **options})
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head


def sample(segments, labels):
    return InstanceData(
        segments=torch.tensor(segments, dtype=torch.float32).view(-1, 2),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def masks_of(lengths, steps):
    return torch.arange(steps)[None] < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize('levels', [1, 3])
@pytest.mark.parametrize('length', [1, 2, 7, 8])
def test_outputs_do_not_depend_on_padding(length, levels):
    head = build(num_levels=levels).eval()
    feats = torch.randn(1, 6, length)
    alone = head(feats, masks_of([length], length))
    padded = torch.full((2, 6, 11), float('nan'))
    padded[0, :, :length] = feats[0]
    padded[1] = torch.randn(6, 11)
    outputs = head(padded, masks_of([length, 11], 11))
    torch.testing.assert_close(outputs.cls_logits[:, :1], alone.cls_logits)
    torch.testing.assert_close(outputs.segments[:, :1], alone.segments)
    torch.testing.assert_close(outputs.actionness[:1], alone.actionness)
    assert outputs.lengths.tolist() == [length, 11]


def test_shapes_and_ranges():
    outputs = build()(torch.randn(2, 6, 9), masks_of([9, 4], 9))
    assert outputs.cls_logits.shape == (2, 2, 5, 3)
    assert outputs.segments.shape == (2, 2, 5, 2)
    assert outputs.actionness.shape == (2, 5)
    for value in (outputs.segments, outputs.actionness):
        assert (value > 0).all() and (value < 1).all()


def test_fresh_head_spreads_the_prior():
    torch.manual_seed(0)
    head = MODELS.build(SMALL)
    bias = head.decoder.cls_branches[0].bias.sigmoid()
    torch.testing.assert_close(bias, torch.full((3,), 0.01))
    outputs = head(torch.randn(1, 6, 9), masks_of([9], 9))
    first = outputs.segments[0, 0, :, 1]
    torch.testing.assert_close(first, torch.full((5,), 1 / (1 + math.exp(2))))


def random_outputs(seed=3):
    generator = torch.Generator().manual_seed(seed)
    return QueryOutputs(
        torch.randn(2, 2, 3, 2, generator=generator),
        torch.rand(2, 2, 3, 2, generator=generator) * 0.8 + 0.1,
        torch.rand(2, 3, generator=generator),
        torch.tensor([10.0, 5.0]),
    )


def focal(logit, positive):
    prob = 1 / (1 + math.exp(-logit))
    if positive:
        return -0.25 * (1 - prob) ** 2 * math.log(prob)
    return -0.75 * prob**2 * math.log(1 - prob)


def iou(a, b):
    (c, w), (d, v) = a, b
    overlap = max(0.0, min(c + w / 2, d + v / 2) - max(c - w / 2, d - v / 2))
    return overlap / (w + v - overlap)


def best_pairs(logits, segments, labels, targets):
    """The assignment of least cost, by trying all."""

    def cost(query, target):
        logit = logits[query][labels[target]]
        l1 = sum(abs(x - y) for x, y in zip(segments[query], targets[target]))
        classes = focal(logit, True) - focal(logit, False)
        return 6 * classes + 5 * l1 - 2 * iou(segments[query], targets[target])

    orders = itertools.permutations(range(len(logits)), len(targets))
    return min(orders, key=lambda order: sum(cost(q, g) for g, q in enumerate(order)))


def expected_losses(outputs, labels, targets):
    """TadTR's losses, one number after the other. ``targets``: centres and widths per sample."""
    count = max(sum(map(len, labels)), 1)
    losses = dict.fromkeys(
        ['loss_cls', 'loss_l1', 'loss_iou', 'loss_aux_cls', 'loss_aux_l1', 'loss_aux_iou'], 0.0
    )
    for layer, name in ((0, 'loss_aux_'), (1, 'loss_')):
        for n in range(2):
            logits = outputs.cls_logits[layer, n].tolist()
            segments = outputs.segments[layer, n].tolist()
            pairs = best_pairs(logits, segments, labels[n], targets[n])
            positive = {(q, labels[n][g]) for g, q in enumerate(pairs)}
            for q, row in enumerate(logits):
                for k, logit in enumerate(row):
                    losses[name + 'cls'] += 2 * focal(logit, (q, k) in positive) / count
            for g, q in enumerate(pairs):
                l1 = sum(abs(x - y) for x, y in zip(segments[q], targets[n][g]))
                losses[name + 'l1'] += 5 * l1 / count
                losses[name + 'iou'] += 2 * (1 - iou(segments[q], targets[n][g])) / count
    errors = []
    for n in range(2):
        for segment, value in zip(outputs.segments[1, n].tolist(), outputs.actionness[n].tolist()):
            best = max((iou(segment, target) for target in targets[n]), default=0.0)
            errors.append(abs(value - best))
    losses['loss_actionness'] = 4 * sum(errors) / len(errors)
    return losses


def assert_losses(losses, expected):
    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_losses_are_those_of_the_paper():
    outputs = random_outputs()
    # A window of 10 steps lies at -0.5 to 9.5, one of 5 steps at -0.5 to 4.5.
    gt = [sample([[0.5, 3.5], [4.5, 8.5]], [1, 0]), sample([[0.5, 3.5]], [1])]
    targets = [[(0.25, 0.3), (0.7, 0.4)], [(0.5, 0.6)]]
    expected = expected_losses(outputs, [[1, 0], [1]], targets)
    assert_losses(build(num_classes=2).loss_by_feat(outputs, gt), expected)


def test_actionness_looks_at_the_own_window_only():
    """Without ground truth of its own, a window's target is 0, whatever the others have."""
    outputs = random_outputs()
    gt = [sample([], []), sample([[0.5, 3.5]], [1])]
    expected = expected_losses(outputs, [[], [1]], [[], [(0.5, 0.6)]])
    assert_losses(build(num_classes=2).loss_by_feat(outputs, gt), expected)


def test_ground_truth_is_cut_to_the_window_or_left_out():
    outputs = random_outputs()
    gt = [
        sample([[-7.0, 2.5], [9.5, 12.0], [3.0, 3.0]], [1, 0, 0]),
        sample([[-4.0, -1.0], [2.0, 99.0]], [0, 1]),
    ]
    labels, segments = build(num_classes=2).targets(outputs, gt)
    assert [row.tolist() for row in labels] == [[1], [1]]
    torch.testing.assert_close(segments[0], torch.tensor([[0.15, 0.3]]))
    torch.testing.assert_close(segments[1], torch.tensor([[0.75, 0.5]]))


def test_no_ground_truth_at_all():
    head, outputs = build(num_classes=2), random_outputs()
    losses = head.loss_by_feat(outputs, [sample([], [])] * 2)
    assert_losses(losses, expected_losses(outputs, [[], []], [[], []]))


def test_more_ground_truth_than_queries():
    head = build(num_queries=2)
    outputs = head(torch.randn(1, 6, 9), masks_of([9], 9))
    gt = sample([[0, 1], [2, 3], [4, 5], [6, 7]], [0, 1, 2, 0])
    losses = head.loss_by_feat(outputs, [gt])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_window_without_valid_steps_counts_nowhere():
    head, feats = build(), torch.randn(2, 6, 9)
    gt = sample([[1, 4]], [2])
    both = head(feats, masks_of([9, 0], 9))
    alone = head(feats[:1], masks_of([9], 9))
    expected = head.loss_by_feat(alone, [gt])
    losses = head.loss_by_feat(both, [gt, gt])
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    assert [len(r.scores) for r in head.predict_by_feat(both)] == [15, 0]
    empty = head(feats, masks_of([0, 0], 9))
    losses = head.loss_by_feat(empty, [gt, gt])
    assert all(loss == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


def test_actionness_moves_no_segment():
    head = build()
    outputs = head(torch.randn(1, 6, 9), masks_of([9], 9))
    branch = list(head.decoder.parameters())
    grads = torch.autograd.grad(outputs.actionness.sum(), branch, allow_unused=True)
    assert all(grad is None for grad in grads)


def test_a_layer_learns_nothing_from_the_segments_behind_it():
    head = build()
    outputs = head(torch.randn(1, 6, 9), masks_of([9], 9))
    behind = outputs.segments[-1].sum()
    assert [reaches(behind, branch) for branch in head.decoder.segment_branches] == [False, True]


def test_actionness_loss_moves_no_segment():
    outputs = random_outputs()
    leaves = outputs.segments.requires_grad_(), outputs.actionness.requires_grad_()
    losses = build(num_classes=2).loss_by_feat(outputs, [sample([[0.5, 3.5]], [1])] * 2)
    grads = torch.autograd.grad(losses['loss_actionness'], leaves, allow_unused=True)
    assert grads[0] is None and grads[1].all()


def test_steps_of_further_levels():
    """Where they lie, which embedding they have, and that actionness reads the first level."""
    head = build(num_levels=2)
    assert head.exported_lengths() == (2, None)
    seen = []
    head.encoder.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args))
    masks = masks_of([8, 5], 8)
    head(torch.randn(2, 6, 8), masks)
    memory, embedding, centers = seen[0]
    assert memory.level_steps == (8, 4) and memory.lengths.tolist() == [[8, 4], [5, 3]]
    for n, lengths in enumerate(((8, 4), (5, 3))):
        shares = [(t + 0.5) / length for length in lengths for t in range(length)]
        valid = [*range(lengths[0]), *range(8, 8 + lengths[1])]
        expected = [[share * length - 0.5 for length in lengths] for share in shares]
        torch.testing.assert_close(centers[n, valid], torch.tensor(expected))
    for level, part in enumerate(embedding.split([8, 4], dim=1)):
        steps = masks if level == 0 else masks[:, ::2]
        expected = relative_positions(steps, 16) + head.encoder.level_embed[level]
        torch.testing.assert_close(part, expected)
    first = memory._replace(
        feats=memory.feats[:, :8],
        masks=masks,
        level_steps=(8,),
        lengths=memory.lengths[:, :1],
    )
    segments = random_outputs().segments[-1]
    torch.testing.assert_close(head.actionness(memory, segments), head.actionness(first, segments))


def test_single_decoder_layer_has_no_auxiliary_losses():
    head = build(num_decoder_layers=1, with_actionness=False)
    outputs = head(torch.randn(1, 6, 9), masks_of([9], 9))
    losses = head.loss_by_feat(outputs, [sample([[1, 4]], [2])])
    assert set(losses) == {'loss_cls', 'loss_l1', 'loss_iou'}
    assert outputs.actionness is None


def test_candidates_are_the_best_pairs_of_query_and_class():
    outputs = random_outputs()
    head = build(num_classes=2, max_candidates=4)
    scores = outputs.cls_logits[-1].sigmoid() * outputs.actionness[..., None]
    for n, result in enumerate(head.predict_by_feat(outputs)):
        ranked = sorted(
            ((scores[n, q, k].item(), q, k) for q in range(3) for k in range(2)), reverse=True
        )[:4]
        assert result.scores.tolist() == pytest.approx([score for score, _, _ in ranked])
        assert result.labels.tolist() == [k for _, _, k in ranked]
        length = outputs.lengths[n].item()
        for segment, (_, q, _) in zip(result.segments.tolist(), ranked):
            center, width = outputs.segments[-1, n, q].tolist()
            expected = [(center + side * width / 2) * length - 0.5 for side in (-1, 1)]
            assert segment == pytest.approx(expected, abs=1e-4)


def test_targets_and_candidates_agree():
    """A query that predicts its target exactly gives the ground truth back, in steps."""
    head = build(num_classes=2)
    gt = [sample([[0.5, 3.5]], [1]), sample([[1.0, 2.0]], [0])]
    outputs = random_outputs()
    _, segments = head.targets(outputs, gt)
    exact = torch.stack(segments).expand(2, -1, -1, -1).repeat(1, 1, 3, 1)
    for result, truth in zip(head.predict_by_feat(outputs._replace(segments=exact)), gt):
        torch.testing.assert_close(result.segments, truth.segments.expand(6, 2))


def test_bfloat16_autocast_stays_close():
    head = build().eval()
    feats, masks = torch.randn(1, 6, 40), masks_of([40], 40)
    expected = head(feats, masks)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = head(feats, masks)
        losses = head.loss_by_feat(outputs, [sample([[3, 9]], [1])])
    assert outputs.segments.dtype == torch.float32
    assert (outputs.segments - expected.segments).abs().max() < 0.05
    assert all(torch.isfinite(v) and v.dtype == torch.float32 for v in losses.values())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(embed_dims=15, num_heads=3, num_groups=3), 'embed_dims must be even'),
        (dict(num_heads=3), 'multiple of num_heads, got 16 and 3'),
        (dict(num_groups=5), 'multiple of num_groups, got 16 and 5'),
        (dict(num_queries=0), 'num_queries must be at least 1'),
        (dict(num_decoder_layers=0), 'num_decoder_layers must be at least 1'),
    ],
)
def test_sizes_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**SMALL, **options})


def test_transformer_matrices_start_as_xavier():
    """Deformable DETR's initialisation; what follows the transformer keeps its own."""
    torch.manual_seed(0)
    head = MODELS.build(dict(type='TadTRHead', num_classes=20, in_channels=512))
    checked = 0
    for part in (head.encoder.layers, head.decoder.layers):
        for name, weight in part.named_parameters():
            if weight.ndim < 2:
                continue
            if 'sampling_offsets' in name or 'attention_weights' in name:
                assert not weight.any(), name
                continue
            bound = math.sqrt(6 / sum(weight.shape))
            assert weight.abs().max() <= bound, name
            assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02), name
            checked += 1
    assert checked == 4 * 4 + 4 * 6
    assert head.encoder.layers[0].ffn[3].weight.std().item() == pytest.approx(0.0395, abs=5e-4)
    assert head.decoder.segment_branches[0][-1].weight.abs().max() == 0
