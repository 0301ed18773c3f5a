"""The steps of the post-processor and the merging of windows."""

import time

import numpy as np
import pytest
from mmaction.registry import TASK_UTILS

from mmtad_decomp.postprocessing import Detections, PostProcessor, nms_1d, soft_nms_1d


def build(**options):
    return TASK_UTILS.build(dict(type='PostProcessor', **options))


def many(seed=0, n=4000, classes=20):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, n)
    segments = np.stack([start, start + rng.uniform(0.5, 10, n)], axis=1)
    return segments, rng.uniform(0.01, 1, n), rng.integers(0, classes, n)


def test_equals_suppression_of_each_class_and_a_sort():
    segments, scores, labels = many(n=600, classes=4)
    found = build(max_per_video=50)(segments, scores, labels, 1000)
    parts = []
    for label in range(4):
        rows = np.flatnonzero(labels == label)
        taken, final = soft_nms_1d(segments[rows], scores[rows])
        parts += [(s, label, *segments[r]) for s, r in zip(final, rows[taken])]
    expected = np.array(sorted(parts, reverse=True)[:50])
    np.testing.assert_array_equal(found.scores, expected[:, 0])
    np.testing.assert_array_equal(found.labels, expected[:, 1])
    np.testing.assert_array_equal(found.segments, expected[:, 2:])


def test_selection_before_suppression():
    segments = [[0, 10], [20, 20.04], [30, 40], [50, 60]]
    scores, labels = [0.9, 0.8, 0.001, 0.5], [0, 0, 0, 1]
    found = build(score_thr=0.001, min_length=0.05)(segments, scores, labels, 100)
    np.testing.assert_array_equal(found.segments, [[0, 10], [50, 60]])
    found = build(pre_nms_topk=2, nms=None)(segments, scores, labels, 100)
    np.testing.assert_array_equal(found.scores, [0.9, 0.8])


def test_results_are_clipped_and_empty_ones_dropped():
    segments = [[-5, 5], [90, 110], [100, 120], [-3, 0]]
    found = build()(segments, [0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], 100)
    np.testing.assert_array_equal(found.segments, [[0, 5], [90, 100]])


def test_classes_suppress_each_other_only_on_request():
    segments, scores, labels = [[0, 10], [0, 10]], [0.9, 0.8], [0, 1]
    hard = dict(type='nms', iou_thr=0.5)
    assert len(build(nms=hard)(segments, scores, labels, 100).scores) == 2
    agnostic = build(nms=dict(class_aware=False, **hard))
    np.testing.assert_array_equal(agnostic(segments, scores, labels, 100).labels, [0])


def test_scores_are_not_rounded():
    score = 0.123456789012345678
    found = build()([[0, 10]], [score], [0], 100)
    assert found.scores[0] == score


def test_voting_uses_scores_before_suppression():
    segments, scores = np.array([[0.0, 10.0], [1.0, 11.0]]), np.array([0.9, 0.6])
    found = build(nms=dict(type='nms', iou_thr=0.5), voting_iou=0.7)(segments, scores, [0, 0], 99)
    weights = np.array([0.9, 0.6 * 9 / 11])
    np.testing.assert_allclose(found.segments, [(weights @ segments) / weights.sum()])


def test_an_action_seen_by_two_windows_is_found_once():
    left = Detections(np.array([[40.0, 50.0], [5.0, 9.0]]), np.array([0.9, 0.5]), np.array([0, 0]))
    right = Detections(
        np.array([[40.0, 50.0], [70, 80.0]]), np.array([0.8, 0.7]), np.array([0, 0])
    )
    hard = build(nms=dict(type='nms', iou_thr=0.5)).merge([left, right], 100)
    np.testing.assert_array_equal(hard.segments, [[40, 50], [70, 80], [5, 9]])
    soft = build(nms=dict(type='soft_nms', sigma=0.5)).merge([left, right], 100)
    np.testing.assert_array_equal(soft.segments, [[40, 50], [70, 80], [5, 9], [40, 50]])
    assert soft.scores[-1] == pytest.approx(0.8 * np.exp(-1 / 0.5))


def test_a_video_without_windows_or_candidates():
    found = build(voting_iou=0.7).merge([], 100)
    assert found.segments.shape == (0, 2) and found.labels.dtype == np.int64


def test_the_order_of_windows_changes_nothing():
    segments, scores, labels = many(n=300)
    halves = [
        Detections(*(c[part] for c in (segments, scores, labels)))
        for part in (slice(0, 150), slice(150, None))
    ]
    forth, back = build().merge(halves, 300), build().merge(halves[::-1], 300)
    for a, b in zip(forth, back):
        np.testing.assert_array_equal(a, b)


def test_hard_nms_agrees_with_the_function():
    segments, scores, labels = many(n=300)
    found = build(nms=dict(type='nms', iou_thr=0.3), max_per_video=None)(
        segments, scores, labels, 1000
    )
    np.testing.assert_array_equal(found.scores, scores[nms_1d(segments, scores, 0.3, labels)])


def test_thousands_of_candidates_take_a_fraction_of_a_second():
    process = build(voting_iou=0.7)
    data = many()
    start = time.process_time()
    found = process(*data, 300)
    assert time.process_time() - start < 1
    assert len(found.scores) == 200


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(max_per_video=0), 'max_per_video must be >= 1 or None'),
        (dict(voting_iou=1.5), r'voting_iou must be in \(0, 1\]'),
        (dict(min_length=-1), 'min_length must be >= 0'),
        (dict(nms=dict(type='softnms')), 'nms.type must be one of'),
        (dict(nms=dict(type='soft_nms', sigam=0.5)), r"unknown options \['sigam'\]"),
        (dict(nms=dict(type='nms')), 'needs iou_thr'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PostProcessor(**options)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match='one row per candidate, got 1, 2 and 1'):
        PostProcessor()([[0, 1]], [0.5, 0.4], [0], 10)
