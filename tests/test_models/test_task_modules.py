"""Points of a pyramid and their targets."""

import math

import pytest
import torch

from mmtad_decomp.models.task_modules import (
    CenterSamplingAssigner,
    PointGenerator,
    Points,
    default_regress_ranges,
)


def merge(levels):
    return Points(*(torch.cat(field) for field in zip(*levels)))


def test_default_ranges_double():
    assert default_regress_ranges(1) == [(0, math.inf)]
    assert default_regress_ranges(3) == [(0, 4), (4, 8), (8, math.inf)]
    official = [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, math.inf)]
    assert default_regress_ranges(6) == official


def test_points():
    fine, coarse = PointGenerator([1, 4])([5, 2])
    assert fine.positions.tolist() == [0, 1, 2, 3, 4]
    assert coarse.positions.tolist() == [0, 4]
    assert coarse.strides.tolist() == [4, 4]
    assert coarse.ranges.tolist() == [[4, math.inf]] * 2
    (centred,) = PointGenerator([4], use_offset=True)([2])
    assert centred.positions.tolist() == [2, 6]


def test_bad_points():
    with pytest.raises(ValueError, match='2 levels, 1 ranges'):
        PointGenerator([1, 2], regress_ranges=[(0, 4)])
    with pytest.raises(ValueError, match='low < high'):
        PointGenerator([1], regress_ranges=[(4, 4)])
    with pytest.raises(ValueError, match='levels'):
        PointGenerator([1, 2])([4])


def brute_force(points, segments, labels, num_classes, radius):
    classes = torch.zeros(len(points.positions), num_classes)
    offsets = torch.zeros(len(points.positions), 2)
    for p, (t, (low, high), stride) in enumerate(
        zip(points.positions.tolist(), points.ranges.tolist(), points.strides.tolist())
    ):
        fitting = []
        for (start, end), label in zip(segments.tolist(), labels.tolist()):
            left, right = t - start, end - t
            near = radius is None or abs(t - (start + end) / 2) < radius * stride
            if left > 0 and right > 0 and near and low <= max(left, right) <= high:
                fitting.append((end - start, label, left / stride, right / stride))
        if fitting:
            shortest = min(fitting, key=lambda f: f[0])
            offsets[p] = torch.tensor(shortest[2:])
            for length, label, *_ in fitting:
                if length <= shortest[0] + 1e-3:
                    classes[p, label] = 1
    return classes, offsets


@pytest.mark.parametrize('radius', [None, 0.5, 1.5])
@pytest.mark.parametrize('use_offset', [False, True])
def test_targets_match_loop(radius, use_offset):
    points = merge(PointGenerator([1, 2, 4, 8], use_offset=use_offset)([128, 64, 32, 16]))
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(25, generator=generator) * 100
    ends = starts + 2 ** (torch.rand(25, generator=generator) * 6)
    segments = torch.stack((starts, ends), dim=1)
    on_grid = (2 * segments).round() / 2  # their points lie on the borders of the rules
    segments = torch.cat((segments, segments[:4], on_grid))
    labels = torch.randint(5, (len(segments),), generator=generator)
    targets = CenterSamplingAssigner(radius).assign(points, segments, labels, 5)
    classes, offsets = brute_force(points, segments, labels, 5, radius)
    assert classes.any()
    assert torch.equal(targets.labels, classes)
    torch.testing.assert_close(targets.offsets, offsets)


def test_same_segment_of_two_classes_gives_both():
    (points,) = PointGenerator([1], regress_ranges=[(0, 100)])([16])
    segments = torch.tensor([[2.0, 10.0], [2.0, 10.0], [0.0, 15.0]])
    targets = CenterSamplingAssigner().assign(points, segments, torch.tensor([0, 2, 1]), 3)
    assert targets.labels[6].tolist() == [1, 0, 1]
    assert targets.offsets[6].tolist() == [4, 4]
    assert targets.labels[8].tolist() == [0, 1, 0]
    assert targets.labels[12].tolist() == [0, 0, 0]


def test_no_ground_truth():
    (points,) = PointGenerator([1])([4])
    targets = CenterSamplingAssigner().assign(
        points, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 3
    )
    assert targets.labels.shape == (4, 3) and not targets.labels.any()
    assert targets.offsets.shape == (4, 2) and not targets.offsets.any()


def test_segments_and_labels_must_agree():
    (points,) = PointGenerator([1])([4])
    with pytest.raises(ValueError, match='2 segments but 1 labels'):
        CenterSamplingAssigner().assign(points, torch.ones(2, 2), torch.tensor([0]), 3)
