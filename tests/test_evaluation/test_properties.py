"""What must hold for any tables."""

import numpy as np
import pytest

hypothesis = pytest.importorskip('hypothesis')

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmtad_decomp.evaluation.functional import (  # noqa: E402
    GroundTruth,
    Predictions,
    average_precision,
    average_recall,
    mean_over_classes,
    recall_at_kx,
)

TIOUS = np.array([0.1, 0.3, 0.5, 0.75, 0.95])
VIDEOS, CLASSES = 3, 2
few = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def tables(draw):
    """Small tables; on whole seconds, where tIoUs tie, or anywhere. Scores differ."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    instances, predictions = draw(st.integers(1, 12)), draw(st.integers(0, 30))
    whole = draw(st.booleans())

    def segments(n):
        start = rng.uniform(0, 20, n)
        both = np.stack([start, start + rng.uniform(0.5, 8, n)], axis=1)
        return np.round(both) if whole else both

    truth = GroundTruth(
        rng.integers(0, VIDEOS, instances),
        segments(instances),
        rng.integers(0, CLASSES, instances),
    )
    scores = (1 + rng.permutation(predictions)) / (predictions + 1)
    found = Predictions(
        rng.integers(0, VIDEOS, predictions),
        segments(predictions),
        scores,
        rng.integers(0, CLASSES, predictions),
    )
    return truth, found


def measures(truth, found):
    """Everything at once: mAP, recall and the curve of proposals."""
    return (
        average_precision(truth, found, TIOUS, CLASSES),
        recall_at_kx(truth, found, TIOUS, CLASSES, (1, 2, 5)),
        average_recall(truth, found, TIOUS, VIDEOS, max_avg_proposals=5).recall,
    )


def assert_same(a, b):
    for ours, theirs in zip(a, b):
        np.testing.assert_array_equal(ours, theirs)


@few
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_the_predictions_does_not_matter(problem, random):
    truth, found = problem
    rows = list(range(len(found.scores)))
    random.shuffle(rows)
    shuffled = Predictions(*(column[rows] for column in found))
    assert_same(measures(truth, found), measures(truth, shuffled))


@few
@given(tables(), st.permutations(range(VIDEOS)), st.integers(1, 2**40))
def test_names_of_the_videos_do_not_matter(problem, names, stride):
    truth, found = problem
    names = np.array(names)
    ap, recall, _ = measures(truth, found)
    for rename in (lambda v: names[v], lambda v: names[v] * stride - 2**41):
        renamed = truth._replace(videos=rename(truth.videos))
        other = found._replace(videos=rename(found.videos))
        assert_same([ap], [average_precision(renamed, other, TIOUS, CLASSES)])
        assert_same([recall], [recall_at_kx(renamed, other, TIOUS, CLASSES, (1, 2, 5))])


@few
@given(tables())
def test_order_of_the_classes_does_not_matter(problem):
    truth, found = problem
    ap, recall, _ = measures(truth, found)
    swapped = (
        truth._replace(labels=CLASSES - 1 - truth.labels),
        found._replace(labels=CLASSES - 1 - found.labels),
    )
    other, other_recall, _ = measures(*swapped)
    assert_same([ap[:, ::-1], recall[..., ::-1]], [other, other_recall])


@few
@given(tables())
def test_nothing_rises_with_the_threshold(problem):
    ap, recall, curve = measures(*problem)
    assert (np.diff(np.nan_to_num(ap), axis=0) <= 1e-12).all()
    assert (np.diff(np.nan_to_num(recall), axis=1) <= 0).all()
    assert (np.diff(curve, axis=0) <= 0).all()


@few
@given(tables())
def test_recall_rises_with_the_number_of_predictions(problem):
    truth, _ = problem
    ap, recall, curve = measures(*problem)
    assert (np.diff(np.nan_to_num(recall), axis=0) >= 0).all()
    assert (np.diff(curve, axis=1) >= 0).all()
    assert ((np.nan_to_num(ap) >= 0) & (np.nan_to_num(ap) <= 1 + 1e-12)).all()
    absent = np.bincount(truth.labels, minlength=CLASSES) == 0
    assert_same([np.isnan(ap).all(axis=0), np.isnan(ap).any(axis=0)], [absent, absent])


@few
@given(tables(), st.integers(-20, 20))
def test_the_unit_of_time_does_not_matter(problem, exponent):
    """Powers of two scale without rounding."""
    truth, found = problem
    scaled = (
        truth._replace(segments=truth.segments * 2.0**exponent),
        found._replace(segments=found.segments * 2.0**exponent),
    )
    assert_same(measures(truth, found), measures(*scaled))


@few
@given(tables(), st.floats(0, 1), st.integers(0, VIDEOS - 1), st.integers(0, CLASSES - 1))
def test_a_false_positive_never_helps(problem, score, video, label):
    truth, found = problem
    extra = Predictions(
        np.append(found.videos, video),
        np.concatenate([found.segments, [[100.0, 101.0]]]),
        np.append(found.scores, score),
        np.append(found.labels, label),
    )
    ap, recall, _ = measures(truth, found)
    worse, worse_recall, _ = measures(truth, extra)
    assert (np.nan_to_num(worse) <= np.nan_to_num(ap) + 1e-12).all()
    assert (np.nan_to_num(worse_recall) <= np.nan_to_num(recall)).all()
    others = np.arange(CLASSES) != label
    assert_same(
        [ap[:, others], recall[..., others]], [worse[:, others], worse_recall[..., others]]
    )


@few
@given(tables())
def test_the_ground_truth_itself_is_perfect(problem):
    """Also where instances coincide."""
    truth, _ = problem
    keep = truth.segments[:, 1] > truth.segments[:, 0]
    truth = GroundTruth(*(column[keep] for column in truth))
    hypothesis.assume(len(truth.labels))
    scores = np.linspace(1, 0.5, len(truth.labels))
    found = Predictions(truth.videos, truth.segments, scores, truth.labels)
    ap, recall, _ = measures(truth, found)
    np.testing.assert_allclose(mean_over_classes(ap), 1)
    np.testing.assert_array_equal(mean_over_classes(recall), 1)
