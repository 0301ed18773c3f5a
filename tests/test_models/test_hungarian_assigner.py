"""The assigner against all permutations and a formula in plain Python."""

import itertools
import math

import pytest
import torch
from mmaction.registry import TASK_UTILS

from mmtad_decomp.models.task_modules import HungarianAssigner, solve_assignments


def summed(cost, pairs):
    return sum(float(cost[row, column]) for row, column in pairs)


@pytest.mark.parametrize('shape', [(4, 3), (3, 4), (4, 4), (1, 1), (5, 1)])
def test_least_cost_of_all_permutations(shape):
    torch.manual_seed(sum(shape))
    costs = [torch.randn(2, *shape), torch.randn(2, *shape)]
    matches = solve_assignments(costs)
    small, large = sorted(shape)
    assert len(matches.layers) == 4 * small
    for sample, cost in enumerate(costs):
        for layer in range(2):
            rows = (matches.layers == layer) & (matches.samples == sample)
            columns = matches.targets[rows] - sample * shape[1]
            pairs = list(zip(matches.queries[rows].tolist(), columns.tolist()))
            assert len({p[0] for p in pairs}) == len({p[1] for p in pairs}) == small
            matrix = cost[layer] if shape[0] <= shape[1] else cost[layer].T
            best = min(
                summed(matrix, enumerate(order))
                for order in itertools.permutations(range(large), small)
            )
            assert summed(cost[layer], pairs) == pytest.approx(best, abs=1e-5)


def test_samples_with_different_numbers_of_targets():
    costs = [torch.rand(1, 4, 2), torch.rand(1, 4, 0), torch.rand(1, 4, 3)]
    matches = solve_assignments(costs)
    assert matches.samples.tolist() == [0, 0, 2, 2, 2]
    assert sorted(matches.targets.tolist()) == [0, 1, 2, 3, 4]
    assert set(matches.targets[matches.samples == 2].tolist()) == {2, 3, 4}


def test_nothing_to_match_and_diverged_costs():
    assert len(solve_assignments([torch.rand(2, 4, 0)]).layers) == 0
    diverged = torch.tensor([[[float('nan'), 1.0], [0.0, float('inf')]]])
    matches = solve_assignments([diverged])
    assert matches.queries.tolist() == [0, 1] and matches.targets.tolist() == [1, 0]


def focal(prob, positive, alpha, gamma):
    if positive:
        return -alpha * (1 - prob) ** gamma * math.log(prob + 1e-8)
    return -(1 - alpha) * prob**gamma * math.log(1 - prob + 1e-8)


def test_cost_is_the_formula():
    torch.manual_seed(0)
    assigner = HungarianAssigner(class_weight=6, l1_weight=5, iou_weight=2)
    logits, segments = torch.randn(3, 4), torch.rand(3, 2)
    labels, targets = torch.tensor([2, 0]), torch.rand(2, 2)
    cost = assigner.cost(logits, segments, labels, targets)
    for q in range(3):
        for g in range(2):
            prob = 1 / (1 + math.exp(-logits[q, labels[g]].item()))
            (c, w), (d, v) = segments[q].tolist(), targets[g].tolist()
            overlap = max(0.0, min(c + w / 2, d + v / 2) - max(c - w / 2, d - v / 2))
            expected = 6 * (focal(prob, True, 0.25, 2) - focal(prob, False, 0.25, 2))
            expected += 5 * (abs(c - d) + abs(w - v)) - 2 * overlap / (w + v - overlap)
            assert cost[q, g].item() == pytest.approx(expected, abs=1e-4)


def test_assign_finds_obvious_pairs_in_every_layer():
    targets = torch.tensor([[0.2, 0.1], [0.7, 0.3]])
    segments = torch.stack((targets.flip(0), targets)).unsqueeze(1)
    logits = torch.zeros(2, 1, 2, 3)
    assigner = TASK_UTILS.build(dict(type='HungarianAssigner'))
    matches = assigner.assign(logits, segments, [torch.tensor([0, 1])], [targets])
    assert matches.layers.tolist() == [0, 0, 1, 1]
    assert matches.queries.tolist() == [0, 1, 0, 1]
    assert matches.targets.tolist() == [1, 0, 0, 1]


def test_weights_must_not_all_be_zero():
    with pytest.raises(ValueError, match='all weights are zero'):
        HungarianAssigner(0, 0, 0)
