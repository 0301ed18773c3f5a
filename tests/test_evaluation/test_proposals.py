"""AR@AN against MMAction2's function and against plain Python."""

import numpy as np
import pytest

import mmtad_decomp  # noqa: F401 (patches MMAction2 for NumPy 2)
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, average_recall, grouping

TIOUS = np.linspace(0.5, 0.95, 10)


def random_problem(seed, videos=12, most=30, scale=10.0):
    """Uneven numbers of proposals, some of them the instances themselves, moved a little."""
    rng = np.random.default_rng(seed)
    gt_video = np.concatenate([np.arange(videos), rng.integers(0, videos, 2 * videos)])
    start = rng.uniform(0, scale, len(gt_video))
    gt = np.stack([start, start + rng.uniform(0.1, scale / 2, len(gt_video))], 1)
    video = np.repeat(np.arange(videos), rng.integers(1, most, videos))
    segments = np.sort(rng.uniform(0, 1.5 * scale, (len(video), 2)), axis=1)
    near = rng.uniform(size=len(video)) < 0.6
    own = [rng.choice(np.flatnonzero(gt_video == v)) for v in video]
    moved = np.sort(gt[own] + rng.normal(0, 0.03 * scale, segments.shape), axis=1)
    segments = np.where(near[:, None], moved, segments)
    scores = rng.permutation(len(video)) / len(video)
    zeros = np.zeros(len(gt_video), dtype=int)
    return (
        GroundTruth(gt_video, gt, zeros),
        Predictions(video, segments, scores, np.zeros(len(video), dtype=int)),
        videos,
    )


def theirs(gt, pred, videos, limit):
    """MMAction2's result on the same problem."""
    module = pytest.importorskip('mmaction.evaluation', exc_type=ImportError)
    columns = np.column_stack([pred.segments, pred.scores])
    return module.average_recall_at_avg_proposals(
        {v: gt.segments[gt.videos == v] for v in range(videos)},
        {v: columns[pred.videos == v] for v in range(videos)},
        len(pred.scores),
        max_avg_proposals=limit,
        temporal_iou_thresholds=TIOUS,
    )


@pytest.mark.parametrize('limit', [None, 1, 3.7, 10, 25, 100])
@pytest.mark.parametrize('pairs_at_once', [1 << 18, 40])
def test_equals_mmaction2(limit, pairs_at_once, monkeypatch):
    monkeypatch.setattr(grouping, 'PAIRS_AT_ONCE', pairs_at_once)
    for seed in range(8):
        gt, pred, videos = random_problem(seed)
        ours = average_recall(gt, pred, TIOUS, videos, limit)
        for got, expected in zip(ours, theirs(gt, pred, videos, limit)):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9, err_msg=f'{seed}')


def test_row_order_does_not_matter():
    gt, pred, videos = random_problem(3)
    rng = np.random.default_rng(0)
    g, p = rng.permutation(len(gt.labels)), rng.permutation(len(pred.scores))
    shuffled = average_recall(
        GroundTruth(*(c[g] for c in gt)), Predictions(*(c[p] for c in pred)), TIOUS, videos
    )
    for got, expected in zip(shuffled, average_recall(gt, pred, TIOUS, videos)):
        np.testing.assert_array_equal(got, expected)


def test_counts_by_hand():
    """Two videos, two proposals each: the better proposal is the wrong one in the second."""
    gt = GroundTruth([0, 1], [[0, 10], [0, 10]], [0, 1])
    segments = [[0, 10], [20, 30], [20, 30], [0, 9]]
    pred = Predictions([0, 0, 1, 1], segments, [0.9, 0.1, 0.9, 0.1], [0, 0, 0, 0])
    result = average_recall(gt, pred, [0.5, 0.95], 2, max_avg_proposals=2)
    np.testing.assert_allclose(result.proposals_per_video[[0, 49, 99]], [0.02, 1, 2])
    np.testing.assert_array_equal(result.recall[0, [48, 49, 98, 99]], [0, 0.5, 0.5, 1])
    np.testing.assert_array_equal(result.recall[1, [48, 49, 98, 99]], [0, 0.5, 0.5, 0.5])


@pytest.mark.parametrize('times', [[[0, 1], [0, 0.7]], [[0, 0.7], [0, 1]]])
def test_times_are_rounded_to_float32(times):
    """0.7 becomes 0.69999999, whichever side it is on."""
    gt, pred = GroundTruth([0], times[:1], [0]), Predictions([0], times[1:], [0.5], [0])
    recall = average_recall(gt, pred, [0.69999, 0.7], 1, max_avg_proposals=1).recall
    np.testing.assert_array_equal(recall[:, -1], [1, 0])


def test_videos_without_instances_or_proposals():
    gt = GroundTruth([0, 2], [[0, 10], [0, 10]], [0, 0])
    pred = Predictions([0, 1], [[0, 10], [0, 10]], [0.5, 0.6], [0, 0])
    result = average_recall(gt, pred, [0.5], 4, max_avg_proposals=0.5)
    assert result.recall[0, -1] == 0.5 and result.proposals_per_video[-1] == 0.5
    none = Predictions([], [], [], [])
    nothing = average_recall(GroundTruth([], [], []), pred, [0.5], 4)
    assert np.isnan(nothing.recall).all() and np.isnan(nothing.auc)
    empty = average_recall(gt, none, [0.5], 4)
    assert empty.auc == 0 and not empty.recall.any() and empty.proposals_per_video[-1] == 100


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(num_videos=1), r'ground_truth.videos must be in \[0, 1\)'),
        (dict(max_avg_proposals=0), 'max_avg_proposals must be > 0'),
        (dict(max_avg_proposals=np.nan), 'max_avg_proposals must be > 0'),
        (dict(tious=[]), 'tious must be one or more'),
    ],
)
def test_bad_input_is_refused(change, message):
    gt, pred, videos = random_problem(0)
    arguments = dict(ground_truth=gt, predictions=pred, tious=TIOUS, num_videos=videos)
    with pytest.raises(ValueError, match=message):
        average_recall(**(arguments | change))
