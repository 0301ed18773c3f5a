"""The diagnosis against a plain-Python reference, and hand-made cases."""

import json
import math
import time

import diagnosis_reference as reference
import numpy as np
import pytest

from mmtad_decomp.evaluation.diagnosis import (
    CATEGORIES,
    PRESETS,
    Buckets,
    DiagnosisOptions,
    categorize,
    class_average_precision,
    diagnose,
    false_positives,
    format_report,
    match_by_class,
    to_json,
)
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, average_precision

TIOUS = (0.1, 0.3, 0.5, 0.8)
BUCKETS = {name: Buckets(edges) for name, edges in reference.EDGES.items()}
SEEDS = range(60)


def options(**changes):
    return DiagnosisOptions(**{**dict(tious=TIOUS, buckets=BUCKETS, max_multiple=3), **changes})


def one_video(truth, found):
    """Tables of ``(start, end, label)`` and of ``(start, end, label)`` by falling score."""
    t, f = np.array(truth, dtype=float).reshape(-1, 3), np.array(found, dtype=float).reshape(-1, 3)
    gt = GroundTruth(np.zeros(len(t), int), t[:, :2], t[:, 2].astype(int))
    scores = np.linspace(1, 0.1, len(f))
    return gt, Predictions(np.zeros(len(f), int), f[:, :2], scores, f[:, 2].astype(int))


def categories(truth, found, tiou=0.5, num_classes=3, **rule):
    """Names of the categories in the order of ``found``."""
    gt, pred = one_video(truth, found)
    matches = match_by_class(gt, pred, [tiou], num_classes)
    names = [CATEGORIES[c] for c in categorize(matches, np.array([tiou]), **rule)[0]]
    return [names[i] for i in np.argsort(-matches.predictions.scores, kind='stable')]


def test_every_category_by_hand():
    truth = [(0, 10, 0), (20, 30, 1)]
    found = [
        (0, 10, 0),  # takes the first
        (0, 9, 0),  # tIoU 0.9 with it, but too late
        (20, 30, 0),  # tIoU 1 with an instance of class 1
        (0, 4, 0),  # 0.4
        (20, 24, 2),  # 0.4, other class
        (9.5, 19.5, 0),  # 0.5 / 19.5 < 0.1
        (40, 50, 1),
    ]
    assert categories(truth, found) == [
        'true_positive',
        'double_detection',
        'wrong_label',
        'localization',
        'confusion',
        'background',
        'background',
    ]


def test_limits_belong_to_the_upper_category():
    truth = [(0, 10, 0)]
    found = [(0, 10, 0), (0, 5, 0), (0, 1, 0), (0, 5, 1), (0, 1, 1), (0, 0.99, 1)]
    assert categories(truth, found) == [
        'true_positive',
        'double_detection',
        'localization',
        'wrong_label',
        'confusion',
        'background',
    ]


def test_instances_with_two_labels():
    """The class of the prediction decides where both share the segment, whatever their order."""
    for truth in ([(0, 10, 0), (0, 10, 1)], [(0, 10, 1), (0, 10, 0)]):
        found = [(0, 10, 0), (0, 10, 1), (0, 9, 0), (0, 9, 1), (0, 9, 2), (0, 3, 1)]
        assert categories(truth, found) == [
            'true_positive',
            'true_positive',
            'double_detection',
            'double_detection',
            'wrong_label',
            'localization',
        ]


def test_label_rules_differ_where_classes_overlap():
    truth = [(0, 6, 0), (0, 10, 1)]
    found = [(0, 6, 0), (0, 9, 0)]  # The second: 6/9 with class 0, which is taken, 9/10 with 1.
    assert categories(truth, found)[1] == 'wrong_label'
    assert categories(truth, found, label_rule='any')[1] == 'double_detection'
    with pytest.raises(ValueError, match='label_rule must be one of'):
        categories(truth, found, label_rule='all')


def test_normalised_precision_by_hand():
    gt, pred = one_video([(0, 10, 0), (20, 30, 0)], [(0, 10, 0), (50, 60, 0), (20, 30, 0)])
    matches = match_by_class(gt, pred, [0.5], 1)
    # With N = 4: 2 / 2, then 4 / (4 + 1).
    np.testing.assert_allclose(class_average_precision(matches, 4.0), [[(1 + 4 / 5) / 2]])
    np.testing.assert_allclose(class_average_precision(matches), [[(1 + 2 / 3) / 2]])


@pytest.mark.parametrize('pairs_at_once', [1, 20])
def test_parts_of_the_overlaps_do_not_matter(monkeypatch, pairs_at_once):
    for seed in range(10):
        gt, pred, _, classes = reference.random_problem(seed)
        matches = match_by_class(gt, pred, TIOUS, classes)
        whole = categorize(matches, np.array(TIOUS))
        with monkeypatch.context() as patch:
            patch.setattr(false_positives, '_PAIRS_AT_ONCE', pairs_at_once)
            np.testing.assert_array_equal(categorize(matches, np.array(TIOUS)), whole)


@pytest.mark.parametrize('rule', ['nearest', 'any'])
def test_profile_and_removal_equal_the_reference(rule):
    for seed in SEEDS:
        gt, pred, durations, classes = reference.random_problem(seed)
        result = diagnose(gt, pred, durations, classes, options(label_rule=rule))
        profile, sizes = result.false_positives, reference.class_sizes(gt, classes)
        known = [n for n in sizes if n]
        normalizer = sum(known) / len(known) if known else 1.0
        for t, alpha in enumerate(TIOUS):
            order, taken = reference.greedy(gt, pred, alpha)
            place = reference.ranks(pred, order, classes)
            best = [p for p in order if place[p] < 3 * sizes[pred.labels[p]]]
            names = {p: reference.category(gt, pred, p, taken, alpha, rule) for p in best}
            expected = np.zeros((3, len(CATEGORIES)), int)
            for p in best:
                expected[place[p] // sizes[pred.labels[p]], CATEGORIES.index(names[p])] += 1
            np.testing.assert_array_equal(profile.counts[:, t], expected, f'seed {seed}')
            for n, value, gain in (
                (None, profile.map[t], profile.map_gain[t]),
                (normalizer, profile.map_n[t], profile.map_n_gain[t]),
            ):
                base = reference.mean_ap(gt, pred, best, taken, classes, n)
                assert value == pytest.approx(base, abs=1e-12, nan_ok=True)
                for i, error in enumerate(CATEGORIES[1:]):
                    drop = {p for p in best if names[p] == error}
                    without = reference.mean_ap(gt, pred, best, taken, classes, n, drop)
                    assert gain[i] == pytest.approx(without - base, abs=1e-12, nan_ok=True), (
                        seed,
                        error,
                    )
        assert profile.left_out == len(pred.scores) - profile.counts[:, 0].sum()


def test_sensitivity_equals_the_reference():
    for seed in SEEDS:
        gt, pred, durations, classes = reference.random_problem(seed)
        result = diagnose(gt, pred, durations, classes, options(normalizer=2.5))
        buckets = reference.characteristics(gt, durations)
        found = [reference.greedy(gt, pred, alpha) for alpha in TIOUS]
        base = np.mean([reference.mean_ap(gt, pred, *f, classes, 2.5) for f in found])
        assert result.map_n.mean() == pytest.approx(base, abs=1e-12, nan_ok=True)
        assert {*buckets} == {*result.characteristics}
        for name, of_gt in buckets.items():
            values = BUCKETS[name].assign(result.characteristics[name], name)
            assert values.tolist() == [*of_gt]
            for b in range(len(BUCKETS[name])):
                members = {g for g, bucket in enumerate(of_gt) if bucket == b}
                value = result.sensitivity[name].map_n[:, b]
                assert result.sensitivity[name].instances[b] == len(members)
                if not members:
                    assert np.isnan(value).all()
                    continue
                expected = [
                    reference.mean_ap(gt, pred, *f, classes, 2.5, bucket=members) for f in found
                ]
                np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)
                if base:
                    change = np.mean(expected) / base - 1
                    assert result.sensitivity[name].change[b] == pytest.approx(change, abs=1e-9)


@pytest.mark.parametrize('min_precision', [0.0, 0.3])
def test_false_negatives_equal_the_reference(min_precision):
    for seed in SEEDS:
        gt, pred, durations, classes = reference.random_problem(seed)
        choice = options(normalizer=2.5, min_precision=min_precision)
        result = diagnose(gt, pred, durations, classes, choice).false_negatives
        buckets = reference.characteristics(gt, durations)
        for t, alpha in enumerate(TIOUS):
            found = reference.greedy(gt, pred, alpha)
            lost = reference.missed(gt, pred, *found, classes, 2.5, min_precision)
            if len(gt.labels):
                assert result.overall[t] == pytest.approx(len(lost) / len(gt.labels))
            for (first, second), shares in result.pairs.items():
                for (i, j), share in np.ndenumerate(shares[t]):
                    cell = [
                        g
                        for g in range(len(gt.labels))
                        if buckets[first][g] == i and buckets[second][g] == j
                    ]
                    assert result.pair_instances[first, second][i, j] == len(cell)
                    expected = len(lost & set(cell)) / len(cell) if cell else math.nan
                    assert share == pytest.approx(expected, nan_ok=True)
            for name, shares in result.single.items():
                for b, share in enumerate(shares[t]):
                    cell = [g for g, bucket in enumerate(buckets[name]) if bucket == b]
                    expected = len(lost & set(cell)) / len(cell) if cell else math.nan
                    assert share == pytest.approx(expected, nan_ok=True)


def test_plain_average_precision_is_that_of_the_evaluator():
    for seed in SEEDS:
        gt, pred, _, classes = reference.random_problem(seed)
        ap = class_average_precision(match_by_class(gt, pred, TIOUS, classes))
        expected = average_precision(gt, pred, TIOUS, classes)
        np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12)


def test_no_predictions():
    gt, none = one_video([(0, 10, 0), (20, 30, 1)], [])
    result = diagnose(gt, none, np.full(2, 60.0), 3, options())
    assert result.map.max() == 0 and result.false_negatives.overall.tolist() == [1] * len(TIOUS)
    assert np.isnan(result.false_positives.shares).all()
    assert (result.false_positives.map_n_gain == 0).all()
    assert np.isnan(result.sensitivity['length'].change).all()
    assert json.loads(json.dumps(to_json(result), allow_nan=False))['average_mAP_N'] == 0


def test_no_ground_truth():
    none, pred = one_video([], [(0, 10, 0)])
    result = diagnose(none, pred, np.zeros(0), 1, options())
    assert result.false_positives.left_out == 1 and result.options.normalizer is None
    content = to_json(result)
    assert content['false_negatives']['missed'] == [None] * len(TIOUS)
    assert content['sensitivity']['coverage']['empty'] == ['XS', 'S', 'M']
    assert 'length (s) S' in format_report(result)


def test_a_video_without_ground_truth_holds_background_only():
    gt, pred = one_video([(0, 10, 0)], [(0, 10, 0), (0, 10, 0)])
    pred.videos[1] = 7
    counts = diagnose(gt, pred, np.array([60.0]), 1, options()).false_positives.counts
    assert counts[0, :, CATEGORIES.index('true_positive')].tolist() == [1] * len(TIOUS)
    assert counts[1, :, CATEGORIES.index('background')].tolist() == [1] * len(TIOUS)


def test_empty_buckets_are_named_and_not_zero():
    gt, pred = one_video([(0, 10, 0)], [(0, 10, 0)])
    result = diagnose(gt, pred, np.array([60.0]), 1, options())
    content = to_json(result)['sensitivity']['length']
    assert content['empty'] == ['XS'] and content['average_mAP_N'] == [None, 1.0]
    rows = [line.split() for line in format_report(result).splitlines() if 'length (s)' in line]
    assert [row[-1] == 'empty' for row in rows] == [True, False]


def test_buckets_hold_their_upper_edge():
    buckets = Buckets((0, 3, 6, math.inf))
    assert buckets.assign(np.array([0, 3, 3.01, 6, 1e9]), 'length').tolist() == [0, 0, 1, 1, 2]
    assert buckets.names == ('XS', 'S', 'M') and buckets.ranges == ('0-3', '3-6', '> 6')
    assert Buckets(range(8)).names == tuple('1234567')
    with pytest.raises(ValueError, match='length: an instance has 9, outside the bucket edges'):
        Buckets((0, 5)).assign(np.array([9.0]), 'length')
    with pytest.raises(ValueError, match='two or more rising numbers'):
        Buckets((0, 3, 3))


def test_presets_are_those_of_the_paper():
    edges = {name: preset.buckets for name, preset in PRESETS.items()}
    assert edges['activitynet']['length'].edges == (0, 30, 60, 120, 180, math.inf)
    assert edges['thumos14']['coverage'].edges == (0, 0.02, 0.04, 0.06, 0.08, 1)
    assert [len(b) for b in edges['thumos14'].values()] == [5, 5, 4]
    assert len(PRESETS['activitynet'].tious) == 10


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(tious=()), 'tious must be one or more'),
        (dict(tious=(0.5, 1.5)), r'tious must be one or more numbers in \(0, 1\]'),
        (dict(buckets=dict(colour=Buckets((0, 1)))), "buckets: .*'colour'"),
        (dict(normalizer=0.0), 'normalizer must be > 0'),
        (dict(max_multiple=0), 'max_multiple must be >= 1'),
        (dict(min_tiou=0.0), r'min_tiou must be in \(0, 1\]'),
        (dict(label_rule='x'), 'label_rule must be one of'),
        (dict(min_precision=1.0), r'min_precision must be in \[0, 1\)'),
    ],
)
def test_bad_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        options(**change)


def test_bad_durations_and_scores_are_refused():
    gt, pred = one_video([(0, 10, 0)], [(0, 10, 0)])
    with pytest.raises(ValueError, match='ground truth 0 is 10 s long in a video of 5 s'):
        diagnose(gt, pred, np.array([5.0]), 1)
    with pytest.raises(ValueError, match='one value per ground truth'):
        diagnose(gt, pred, np.array([5.0, 5.0]), 1)
    with pytest.raises(ValueError, match='scores must be finite'):
        diagnose(gt, pred._replace(scores=np.array([np.nan])), np.array([50.0]), 1)
    with pytest.raises(ValueError, match='preset must be one of'):
        DiagnosisOptions.preset('thumos')


def test_thumos_size_takes_seconds():
    rng = np.random.default_rng(0)
    videos, per_video, truths = 213, 200, 3358
    start = rng.uniform(0, 200, truths)
    gt = GroundTruth(
        rng.integers(0, videos, truths),
        np.stack([start, start + rng.exponential(4, truths) + 0.1], axis=1),
        rng.integers(0, 20, truths),
    )
    near = rng.integers(0, truths, videos * per_video)
    segments = gt.segments[near] + rng.normal(0, 1, (len(near), 2))
    pred = Predictions(
        gt.videos[near], np.sort(segments, axis=1), rng.uniform(size=len(near)), gt.labels[near]
    )
    began = time.process_time()
    result = diagnose(gt, pred, np.full(truths, 300.0), 20, DiagnosisOptions.preset('thumos14'))
    assert time.process_time() - began < 10
    assert result.num_predictions == 42600
