"""Average precision of drawn videos against tables in which the videos are repeated."""

import numpy as np
import pytest

from mmtad_decomp.evaluation.functional import (
    GroundTruth,
    Predictions,
    average_precision,
    match_videos,
    pool_matches,
    resampled_average_precision,
)

TIOUS, CLASSES, VIDEOS = (0.3, 0.5, 0.7), 4, 7


def problem(seed):
    """Predictions near ground truth and elsewhere; video 6 has no instance, only 0 has class 3."""
    rng = np.random.default_rng(seed)
    gt_videos = rng.integers(0, VIDEOS - 1, 30)
    starts = rng.uniform(0, 50, 30)
    truth = GroundTruth(
        gt_videos,
        np.stack([starts, starts + rng.uniform(1, 5, 30)], axis=1),
        np.where(gt_videos == 0, 3, rng.integers(0, 3, 30)),
    )
    near = rng.integers(0, 30, 120)
    segments = np.sort(truth.segments[near] + rng.normal(0, 0.7, (120, 2)), axis=1)
    others = rng.uniform(0, 50, 80)
    found = Predictions(
        np.concatenate([gt_videos[near], rng.integers(0, VIDEOS, 80)]),
        np.concatenate([segments, np.stack([others, others + 3], axis=1)]),
        rng.permutation(200) / 200,
        np.concatenate([truth.labels[near], rng.integers(0, CLASSES, 80)]),
    )
    return truth, found


def repeated(table, counts):
    """The table with every video as often as ``counts`` says, each time under a new number."""
    parts, number = [], 0
    for video, count in enumerate(counts):
        rows = np.flatnonzero(table.videos == video)
        for _ in range(count):
            parts.append((np.full(len(rows), number), *(column[rows] for column in table[1:])))
            number += 1
    return type(table)(*map(np.concatenate, zip(*parts)))


@pytest.mark.parametrize('seed', range(5))
def test_equals_evaluating_repeated_videos(seed):
    truth, found = problem(seed)
    matches = match_videos(truth, found, TIOUS, CLASSES, VIDEOS)
    counts = np.random.default_rng(seed).multinomial(VIDEOS, [1 / VIDEOS] * VIDEOS, size=40)
    wanted = [
        average_precision(repeated(truth, c), repeated(found, c), TIOUS, CLASSES) for c in counts
    ]
    got = resampled_average_precision(matches, counts)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert np.isnan(got).any()  # the draws without video 0


def test_all_videos_once_is_the_plain_evaluation_to_the_last_bit():
    truth, found = problem(9)
    matches = match_videos(truth, found, TIOUS, CLASSES, VIDEOS)
    got = resampled_average_precision(matches, np.ones((2, VIDEOS), dtype=int))
    plain = average_precision(truth, found, TIOUS, CLASSES)
    assert (got == plain).all()


def test_many_draws_are_worked_off_in_parts(monkeypatch):
    truth, found = problem(1)
    matches = match_videos(truth, found, TIOUS, CLASSES, VIDEOS)
    counts = np.random.default_rng(0).integers(0, 3, (11, VIDEOS))
    whole = resampled_average_precision(matches, counts)
    monkeypatch.setattr('mmtad_decomp.evaluation.functional.resampling._CELLS_AT_ONCE', 700)
    np.testing.assert_array_equal(resampled_average_precision(matches, counts), whole)


def test_pooled_parts_are_evaluated_as_one():
    (a, b) = (problem(seed) for seed in (2, 3))
    parts = [a, (b[0], b[1]._replace(scores=b[1].scores + 1e-3))]  # no score twice
    pooled = pool_matches([match_videos(*part, TIOUS, CLASSES, VIDEOS) for part in parts])
    both = [
        kind(
            np.concatenate([a.videos, b.videos + VIDEOS]), *map(np.concatenate, zip(a[1:], b[1:]))
        )
        for kind, a, b in zip((GroundTruth, Predictions), *parts)
    ]
    drawn = np.random.default_rng(4).integers(0, 3, (6, 2 * VIDEOS))
    plain, *got = resampled_average_precision(pooled, np.stack([np.ones_like(drawn[0]), *drawn]))
    np.testing.assert_array_equal(plain, average_precision(*both, TIOUS, CLASSES))
    wanted = [
        average_precision(*(repeated(table, c) for table in both), TIOUS, CLASSES) for c in drawn
    ]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_nothing_found_and_wrong_shapes():
    truth, found = problem(0)
    none = Predictions(*(column[:0] for column in found))
    matches = match_videos(truth, none, TIOUS, CLASSES, VIDEOS)
    assert (resampled_average_precision(matches, np.ones((1, VIDEOS), dtype=int)) == 0).all()
    assert resampled_average_precision(matches, np.ones((0, VIDEOS), dtype=int)).shape[0] == 0
    with pytest.raises(ValueError, match=r'counts must have shape \(B, 7\), got \(1, 3\)'):
        resampled_average_precision(matches, np.ones((1, 3), dtype=int))
