"""The steps of the post-processor against plain Python, and its invariances."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmaction.registry import TASK_UTILS

from mmtad_decomp.ops import nms_1d, soft_nms_1d
from mmtad_decomp.postprocessing import Detections, PostProcessor


def build(**options):
    return TASK_UTILS.build(dict(type='PostProcessor', **options))


def many(seed=0, n=4000, classes=20):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, n)
    segments = np.stack([start, start + rng.uniform(0.5, 10, n)], axis=1)
    return segments, rng.uniform(0.01, 1, n), rng.integers(0, classes, n)


def tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / union if union > 0 else 0.0


def reference(data, duration, keep, nms, voting_iou, min_length):
    """Every step, one candidate at a time."""
    pool = [(s, *map(float, t), int(c)) for t, s, c in zip(*data)]
    pool = sorted(
        (row for row in pool if row[0] > 0.001 and row[2] - row[1] >= min_length),
        key=lambda row: (-row[0], *row[1:]),
    )
    aware = nms.get('class_aware', True)
    left, found = [list(row) for row in pool], []
    while left and len(found) < keep:
        top = left.pop(max(range(len(left)), key=lambda i: (left[i][0], -i)))
        if top[0] < nms.get('min_score', 0):
            break
        found.append(top)
        for row in left:
            overlap = tiou(top[1:3], row[1:3]) if not aware or row[3] == top[3] else 0.0
            if nms['type'] == 'nms':
                row[0] = -1.0 if overlap >= nms['iou_thr'] else row[0]
            elif nms['method'] == 'linear':
                row[0] *= 1 - overlap if overlap >= nms['iou_thr'] else 1
            else:
                row[0] *= math.exp(-(overlap**2) / nms['sigma'])
        left = [row for row in left if row[0] >= 0]
    result = []
    for score, start, end, label in found:
        votes = [
            (t * row[0], row[1], row[2])
            for row in pool
            if (not aware or row[3] == label)
            and (t := tiou((start, end), row[1:3])) >= (voting_iou or 2)
        ]
        if (total := sum(v[0] for v in votes)) > 0:
            start, end = (sum(v[0] * v[k] for v in votes) / total for k in (1, 2))
        inside = min(max(start, 0.0), duration), min(max(end, 0.0), duration)
        length = inside[1] - inside[0]
        if length > 0 and (inside == (start, end) or length >= min_length):
            result.append((score, *inside, label))
    return np.array(result).reshape(-1, 4)


HARD = dict(type='nms', iou_thr=0.4)
GAUSSIAN = dict(type='soft_nms', method='gaussian', sigma=0.4, min_score=0.01)
LINEAR = dict(type='soft_nms', method='linear', iou_thr=0.3, min_score=0.01)


@pytest.mark.parametrize('classes', [1, 20])
@pytest.mark.parametrize('aware', [True, False])
@pytest.mark.parametrize('nms', [HARD, GAUSSIAN, LINEAR])
def test_equals_plain_python(nms, aware, classes):
    for seed in range(6):
        segments, scores, labels = many(seed, n=120, classes=classes)
        segments = segments * 0.2 - 3  # crowded; some start before the video, some end after it
        segments[::10, 1] = segments[::10, 0]
        segments[5::10, 1] = segments[5::10, 0] - 1
        options = dict(nms=dict(nms, class_aware=aware), voting_iou=0.6, min_length=0.3)
        found = build(max_per_video=40, **options)(segments, scores, labels, 33.0)
        expected = reference((segments, scores, labels), 33.0, 40, **options)
        assert len(expected) > 5
        np.testing.assert_array_equal(found.labels, expected[:, 3])
        np.testing.assert_allclose(found.scores, expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(found.segments, expected[:, 1:3], rtol=1e-12)


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


coarse_candidates = st.lists(
    st.tuples(
        st.integers(-2, 12), st.integers(0, 6), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 2)
    ),
    max_size=25,
)
OPTIONS = (
    dict(nms=HARD, voting_iou=0.5),
    dict(nms=dict(GAUSSIAN, class_aware=False), max_per_video=5),
    dict(nms=LINEAR, min_length=1.0, pre_nms_topk=6),
    dict(nms=None, voting_iou=0.7),
)


def columns(rows):
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[:, [0, 1]] + table[:, [0]] * [0, 1], table[:, 2], table[:, 3].astype(np.int64)


@settings(max_examples=60, deadline=None)
@given(rows=coarse_candidates, options=st.sampled_from(OPTIONS), data=st.data())
def test_the_order_of_candidates_changes_nothing(rows, options, data):
    shuffled = data.draw(st.permutations(rows))
    one, other = (build(**options)(*columns(r), 10.0) for r in (rows, shuffled))
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=60, deadline=None)
@given(rows=coarse_candidates, options=st.sampled_from(OPTIONS))
def test_detections_are_sorted_lie_in_the_video_and_invent_no_class(rows, options):
    found = build(**options)(*columns(rows), 10.0)
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.segments >= 0) & (found.segments <= 10)).all()
    assert (found.segments[:, 1] > found.segments[:, 0]).all()
    assert set(found.labels) <= {row[3] for row in rows}
    assert len(found.scores) <= min(len(rows), options.get('max_per_video', len(rows)))


@settings(max_examples=40, deadline=None)
@given(rows=coarse_candidates, power=st.integers(-3, 6))
def test_the_unit_of_time_changes_nothing(rows, power):
    segments, scores, labels = columns(rows)
    one = build(voting_iou=0.5)(segments, scores, labels, 10.0)
    other = build(voting_iou=0.5)(segments * 2.0**power, scores, labels, 10.0 * 2.0**power)
    np.testing.assert_array_equal(one.segments * 2.0**power, other.segments)
    np.testing.assert_array_equal(one.scores, other.scores)


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


def test_what_clipping_makes_too_short_is_dropped():
    found = build(min_length=0.5)(
        [[-5, 0.4], [-5, 0.5], [20, 20.5]], [0.9, 0.8, 0.7], [0, 1, 2], 99
    )
    np.testing.assert_array_equal(found.labels, [1, 2])


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
        (dict(min_length=math.nan), 'min_length must be >= 0'),
        (dict(join_tolerance=-1), 'join_tolerance must be >= 0'),
        (dict(classify='later'), "must be 'after_nms' or 'before_nms'"),
        (dict(max_proposals=5), 'without one, set max_per_video'),
        (dict(nms=dict(type='softnms')), 'nms.type must be one of'),
        (dict(nms=dict(type='soft_nms', sigam=0.5)), r"unknown options \['sigam'\]"),
        (dict(nms=dict(type='nms', iou_thr=0.5, sigma=0.5)), r"\['sigma'\].*nms\._delete_=True"),
        (dict(nms=dict(type='nms')), 'needs iou_thr'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PostProcessor(**options)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match='one row per candidate, got 1, 2 and 1'):
        PostProcessor()([[0, 1]], [0.5, 0.4], [0], 10)


@pytest.mark.parametrize(
    ('segment', 'score', 'duration'),
    [
        ([math.nan, 1], 0.5, 9),
        ([0, 1], math.nan, 9),
        ([0, math.inf], 0.5, 9),
        ([0, 1], 0.5, math.nan),
    ],
)
def test_nan_is_an_error_that_names_the_video(segment, score, duration):
    with pytest.raises(ValueError, match=r'video "v7": .* must be finite'):
        PostProcessor()([segment, [0, 1]], [score, 0.4], [0, 0], duration, 'v7')


@pytest.mark.parametrize('label', [-1, 2])
def test_labels_outside_the_classes_are_refused(label):
    process = build()
    process.prepare(['a', 'b'], ['v'])
    assert len(process([[0, 1]], [0.5], [1], 9).scores) == 1
    with pytest.raises(ValueError, match=r'video "v": labels must be in \[0, 2\)'):
        process([[0, 1]], [0.5], [label], 9, 'v')


def test_windows_are_suppressed_before_the_video_as_in_gtad():
    """G-TAD's release: soft-NMS of each window, then of what is left, as many kept each time."""
    sigma, keep, options = 0.46, 30, dict(method='gaussian', min_score=0.001)
    windows = [Detections(*many(seed, n=200, classes=2)) for seed in range(3)]
    rest = []
    for segments, scores, labels in windows:
        settings = dict(sigma=sigma, labels=labels, max_out=keep, **options)
        rows, decayed = soft_nms_1d(segments, scores, **settings)
        rest.append((segments[rows], decayed, labels[rows]))
    segments, scores, labels = (np.concatenate(column) for column in zip(*rest))
    settings = dict(sigma=sigma, labels=labels, max_out=keep, **options)
    rows, decayed = soft_nms_1d(segments, scores, **settings)
    nms = dict(type='soft_nms', sigma=sigma, **options)
    found = build(nms=nms, max_per_video=keep, nms_per_window=True).merge(windows, 300.0)
    np.testing.assert_allclose(found.scores, decayed)
    np.testing.assert_allclose(found.segments, segments[rows])
    once = build(nms=nms, max_per_video=keep).merge(windows, 300.0)
    assert not np.allclose(once.scores, found.scores)


def test_suppression_of_windows_needs_a_suppression():
    with pytest.raises(ValueError, match='nms_per_window needs `nms`'):
        build(nms=None, nms_per_window=True)
