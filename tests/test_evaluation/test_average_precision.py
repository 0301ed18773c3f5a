"""Average precision against a plain-Python reference and ActionFormer's evaluator."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.evaluation.functional import (
    GroundTruth,
    Predictions,
    average_precision,
    grouping,
    match_predictions,
    mean_over_classes,
    recall_at_kx,
)

THUMOS = Path(__file__).parents[3] / 'shared/data/annotations/thumos14/thumos_14_anno.json'
TIOUS = (0.1, 0.3, 0.5, 0.7, 0.9)


def reference_tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (b[1] - b[0]) + (a[1] - a[0]) - inter
    return inter / union if union > 0 else 0.0


def reference_ap(gt, pred, tiou, label):
    """The evaluators' greedy loop, one prediction at a time."""
    rows = [i for i in range(len(gt.labels)) if gt.labels[i] == label]
    if not rows:
        return np.nan
    order = sorted(range(len(pred.scores)), key=lambda i: -pred.scores[i])
    free, hits = set(rows), []
    for p in (i for i in order if pred.labels[i] == label):
        best = None
        for g in rows:
            if g not in free or gt.videos[g] != pred.videos[p]:
                continue
            overlap = reference_tiou(pred.segments[p], gt.segments[g])
            if overlap >= tiou and (best is None or overlap >= best[0]):
                best = (overlap, g)
        if best is not None:
            free.discard(best[1])
        hits.append(best is not None)
    precision = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    found = [max(precision[i:]) for i, hit in enumerate(hits) if hit]
    return sum(found) / len(rows)


def random_tables(rng, coarse):
    """Small tables; coarse times and scores make ties, duplicates and zero-length segments."""
    videos, classes = rng.integers(1, 4), rng.integers(1, 4)

    def segments(n):
        start = rng.uniform(0, 8, n)
        end = start + rng.uniform(0, 4, n)
        both = np.stack([start, end], axis=1)
        return np.round(both) if coarse else both

    g, p = rng.integers(0, 12), rng.integers(0, 40)
    scores = rng.uniform(0, 1, p)
    return (
        GroundTruth(rng.integers(0, videos, g), segments(g), rng.integers(0, classes, g)),
        Predictions(
            rng.integers(0, videos + 1, p),
            segments(p),
            np.round(scores, 1) if coarse else scores,
            rng.integers(0, classes, p),
        ),
        int(classes),
    )


@pytest.mark.parametrize('coarse', [False, True])
@pytest.mark.parametrize('pairs_at_once', [1_000_000, 7])
def test_equals_plain_python(coarse, pairs_at_once, monkeypatch):
    monkeypatch.setattr(grouping, 'PAIRS_AT_ONCE', pairs_at_once)
    for seed in range(150):
        gt, pred, classes = random_tables(np.random.default_rng(seed), coarse)
        ap = average_precision(gt, pred, TIOUS, classes)
        expected = [[reference_ap(gt, pred, t, c) for c in range(classes)] for t in TIOUS]
        np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12, err_msg=f'seed {seed}')


def one_video(gt_segments, pred_segments, scores):
    zeros = np.zeros(len(gt_segments), dtype=int)
    more = np.zeros(len(pred_segments), dtype=int)
    return GroundTruth(zeros, gt_segments, zeros), Predictions(more, pred_segments, scores, more)


def test_later_ground_truth_wins_at_equal_tiou():
    gt, pred = one_video([[0, 10], [0, 10]], [[0, 10], [0, 10], [0, 10]], [0.9, 0.8, 0.7])
    _, taken = match_predictions(gt, pred, [0.5], 1)
    np.testing.assert_array_equal(taken, [[1, 0, -1]])


def test_a_taken_ground_truth_leaves_the_next_best():
    gt, pred = one_video([[0, 10], [0, 8]], [[0, 10], [0, 10]], [0.9, 0.8])
    _, taken = match_predictions(gt, pred, [0.5, 0.9], 1)
    np.testing.assert_array_equal(taken, [[0, 1], [0, -1]])


def test_equal_scores_keep_their_order():
    gt, pred = one_video([[0, 10]], [[0, 9], [0, 10]], [0.5, 0.5])
    _, taken = match_predictions(gt, pred, [0.5], 1)
    np.testing.assert_array_equal(taken, [[0, -1]])


def test_duplicates_count_as_false_positives():
    gt, pred = one_video([[0, 10], [20, 30]], [[0, 10], [0, 10], [20, 30]], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(average_precision(gt, pred, [0.5], 1), [[(1 + 2 / 3) / 2]])


def test_no_predictions_and_no_ground_truth():
    gt, none = one_video([[0, 10]], [], [])
    assert average_precision(gt, none, [0.5], 2)[0, 0] == 0
    assert np.isnan(average_precision(gt, none, [0.5], 2)[0, 1])
    no_gt, pred = one_video([], [[0, 10]], [0.9])
    ap = average_precision(no_gt, pred, [0.5], 1)
    assert np.isnan(ap).all() and np.isnan(mean_over_classes(ap)).all()


def test_class_without_ground_truth_is_left_out_of_the_mean():
    gt = GroundTruth([0], [[0, 10]], [0])
    pred = Predictions([0, 0], [[0, 10], [0, 10]], [0.5, 0.9], [0, 1])
    np.testing.assert_array_equal(mean_over_classes(average_precision(gt, pred, [0.5], 2)), [1])


def test_zero_length_segments_overlap_nothing():
    gt, pred = one_video([[5, 5], [0, 10]], [[5, 5]], [0.9])
    np.testing.assert_array_equal(average_precision(gt, pred, [0.1], 1), [[0]])


def test_recall_counts_k_times_the_instances():
    gt, pred = one_video([[0, 10], [20, 30]], [[0, 9], [0, 8], [20, 30]], [0.9, 0.8, 0.7])
    recall = recall_at_kx(gt, pred, [0.5, 0.9, 0.95], 1, ks=(1, 5))  # 0.9 is reached
    np.testing.assert_array_equal(recall[..., 0], [[0.5, 0.5, 0], [1, 1, 0.5]])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(scores=[np.nan]), 'predictions.scores must be finite'),
        (dict(labels=[7]), r'predictions.labels must be in \[0, 1\)'),
        (dict(labels=[0.5]), 'predictions.labels must be integers'),
        (dict(segments=[[0, 1, 2]]), r'predictions.segments must have shape \(N, 2\)'),
        (dict(scores=[0.1, 0.2]), 'columns differ in length'),
        (dict(segments=[[3, 1]]), r'predictions.segments: 1 of 1 end before they start.*row 0'),
        (dict(segments=[[0, np.inf]]), 'predictions.segments must be finite'),
        (dict(videos=['v']), 'predictions.videos must be integers'),
    ],
)
def test_bad_tables_are_refused(change, message):
    gt, pred = one_video([[0, 10]], [[0, 10]], [0.9])
    with pytest.raises(ValueError, match=message):
        average_precision(gt, pred._replace(**change), [0.5], 1)


def test_bad_thresholds_are_refused():
    gt, pred = one_video([[0, 10]], [[0, 10]], [0.9])
    with pytest.raises(ValueError, match=r'tious must be one or more numbers in \(0, 1\]'):
        average_precision(gt, pred, [0.0, 0.5], 1)


def thumos_tables(seed, predictions_per_instance=3):
    """Real ground truth, and detections made of it by noise, wrong labels and background."""
    rng = np.random.default_rng(seed)
    videos = {
        name: video
        for name, video in json.loads(THUMOS.read_text())['database'].items()
        if video['subset'].lower() == 'validation'
    }
    labels = sorted({a['label'] for v in videos.values() for a in v['annotations']})
    rows = [
        (i, *a['segment'], labels.index(a['label']))
        for i, video in enumerate(videos.values())
        for a in video['annotations']
    ]
    table = np.array(rows)
    gt = GroundTruth(table[:, 0].astype(int), table[:, 1:3], table[:, 3].astype(int))
    copies = np.repeat(table, predictions_per_instance, axis=0)
    length = copies[:, 2] - copies[:, 1]
    segments = copies[:, 1:3] + rng.normal(0, 0.25, (len(copies), 2)) * length[:, None]
    segments.sort(axis=1)
    wrong = rng.uniform(size=len(copies)) < 0.1
    names = np.where(wrong, rng.integers(0, len(labels), len(copies)), copies[:, 3])
    pred = Predictions(
        copies[:, 0].astype(int), segments, rng.permutation(len(copies)) / 1e5, names.astype(int)
    )
    return gt, pred, len(labels)


@pytest.mark.slow
@pytest.mark.skipif(not THUMOS.exists(), reason=f'{THUMOS} is not there')
@pytest.mark.parametrize('seed', range(3))
def test_equals_actionformer_on_thumos(seed):
    metrics = pytest.importorskip('actionformer.utils.metrics', exc_type=ImportError)
    pandas = pytest.importorskip('pandas')
    gt, pred, classes = thumos_tables(seed, predictions_per_instance=2)
    tious = np.linspace(0.3, 0.7, 5)
    ap = average_precision(gt, pred, tious, classes)
    recall = recall_at_kx(gt, pred, tious, classes, ks=(1, 5))

    def frame(table, label, extra):
        keep = table.labels == label
        columns = {
            'video-id': table.videos[keep].astype(str),
            't-start': table.segments[keep, 0],
            't-end': table.segments[keep, 1],
        }
        return pandas.DataFrame(columns | {name: extra[name][keep] for name in extra})

    for label in range(classes):
        annotated = frame(gt, label, {})
        detected = frame(pred, label, {'score': pred.scores})
        expected = metrics.compute_average_precision_detection(annotated, detected, tious)
        np.testing.assert_allclose(ap[:, label], expected, rtol=0, atol=1e-9)
        expected = metrics.compute_topkx_recall_detection(annotated, detected, tious, (1, 5))
        np.testing.assert_allclose(recall[..., label].T, expected, rtol=0, atol=1e-9)
