"""NMS, soft-NMS and voting against plain Python and ActionFormer's Python version."""

import math

import numpy as np
import pytest
import torch

from mmtad_decomp.ops import nms_1d, segment_voting, soft_nms_1d


def tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / union if union > 0 else 0.0


def candidates(seed, n=40, classes=3, coarse=False):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 20, n)
    segments = np.stack([start, start + rng.uniform(0, 6, n)], axis=1)
    scores = rng.uniform(0, 1, n)
    if coarse:
        segments, scores = np.round(segments), np.round(scores, 1)
    return segments, scores, rng.integers(0, classes, n)


def reference_nms(segments, scores, labels, iou_thr):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept = []
    for i in order:
        same = (k for k in kept if labels[k] == labels[i])
        if all(tiou(segments[k], segments[i]) < iou_thr for k in same):
            kept.append(i)
    return kept


def reference_soft_nms(segments, scores, labels, decay, min_score):
    left = dict(enumerate(scores))
    rows, final = [], []
    while left:
        top = max(left, key=lambda i: (left[i], -i))
        score = left.pop(top)
        if score < min_score:
            break
        rows.append(top)
        final.append(score)
        for i in left:
            if labels[i] == labels[top]:
                left[i] *= decay(tiou(segments[top], segments[i]))
    return rows, final


@pytest.mark.parametrize('coarse', [False, True])
def test_nms_equals_plain_python(coarse):
    for seed in range(50):
        segments, scores, labels = candidates(seed, coarse=coarse)
        kept = nms_1d(segments, scores, 0.4, labels)
        np.testing.assert_array_equal(kept, reference_nms(segments, scores, labels, 0.4))
        np.testing.assert_array_equal(nms_1d(segments, scores, 0.4, labels, max_out=5), kept[:5])


@pytest.mark.parametrize('coarse', [False, True])
@pytest.mark.parametrize('method', ['gaussian', 'linear'])
def test_soft_nms_equals_plain_python(method, coarse):
    decays = dict(
        gaussian=lambda t: math.exp(-(t**2) / 0.3), linear=lambda t: 1 - t if t >= 0.25 else 1
    )
    options = dict(method=method, sigma=0.3, iou_thr=0.25, min_score=0.05)
    for seed in range(50):
        segments, scores, labels = candidates(seed, coarse=coarse)
        rows, final = soft_nms_1d(segments, scores, labels=labels, **options)
        expected = reference_soft_nms(segments, scores, labels, decays[method], 0.05)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_allclose(final, expected[1], rtol=1e-12)
        some, _ = soft_nms_1d(segments, scores, labels=labels, max_out=7, **options)
        np.testing.assert_array_equal(some, rows[:7])


def test_soft_nms_equals_actionformer():
    nms = pytest.importorskip('actionformer.utils.nms', exc_type=ImportError)
    for seed in range(20):
        segments, scores, _ = candidates(seed)
        segments, scores = segments.astype(np.float32), scores.astype(np.float32)
        rows, final = soft_nms_1d(segments, scores, sigma=0.5, min_score=0.001)
        expected, dets = nms._soft_nms_python(
            torch.from_numpy(segments), torch.from_numpy(scores), 0.1, 0.5, 0.001, 2
        )
        np.testing.assert_array_equal(rows, expected.numpy())
        np.testing.assert_allclose(final, dets[:, 2].numpy(), atol=1e-6)


def test_voting_equals_actionformer_per_class():
    nms = pytest.importorskip('actionformer.utils.nms', exc_type=ImportError)
    for seed in range(20):
        segments, scores, labels = candidates(seed)
        rows = nms_1d(segments, scores, 0.5, labels)
        voted = segment_voting(segments[rows], segments, scores, 0.7, labels[rows], labels)
        for label in range(3):
            mine, all_of = labels[rows] == label, labels == label
            expected = nms.seg_voting(
                torch.from_numpy(segments[rows][mine]),
                torch.from_numpy(segments[all_of]),
                torch.from_numpy(scores[all_of]),
                0.7,
            )
            np.testing.assert_allclose(voted[mine], expected.numpy(), rtol=1e-10)


def test_votes_of_other_classes_do_not_count():
    segments, scores = np.array([[0, 10], [1, 11], [0, 12]]), np.array([0.9, 0.9, 0.9])
    voted = segment_voting(segments[:1], segments, scores, 0.5, [0], [0, 0, 1])
    weights = np.array([1, 9 / 11])
    np.testing.assert_allclose(voted, [(weights @ segments[:2]) / weights.sum()])


def test_zero_length_segments_survive_and_move_nothing():
    segments, scores = np.array([[5.0, 5.0], [5.0, 5.0], [0.0, 10.0]]), np.array([0.9, 0.8, 0.7])
    np.testing.assert_array_equal(nms_1d(segments, scores, 0.1), [0, 1, 2])
    np.testing.assert_array_equal(soft_nms_1d(segments, scores)[1], scores)
    np.testing.assert_array_equal(segment_voting(segments, segments, scores, 0.5), segments)


def test_scores_that_decay_to_zero_are_not_taken():
    segments = np.tile([[0.0, 10.0]], (3, 1))
    rows, _ = soft_nms_1d(segments, np.array([0.9, 0.8, 0.7]), sigma=1e-6, min_score=0.001)
    np.testing.assert_array_equal(rows, [0])


def test_nothing_in_nothing_out():
    none = np.zeros((0, 2)), np.zeros(0)
    assert len(nms_1d(*none, 0.5)) == 0
    assert len(soft_nms_1d(*none)[0]) == 0
    assert segment_voting(none[0], *none, 0.5).shape == (0, 2)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(method='cubic'), "method must be 'gaussian' or 'linear'"),
        (dict(sigma=0), 'sigma must be > 0'),
        (dict(labels=[0, 1]), 'one row per candidate, got 1, 1 and 2'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        soft_nms_1d([[0, 1]], [0.5], **options)


def test_nan_is_refused():
    with pytest.raises(ValueError, match='must be finite'):
        nms_1d([[0, 1]], [np.nan], 0.5)
