"""The problems that the evaluation benchmark times, and how it measures."""

import numpy as np
import pytest

from tools.benchmarks._evaluation_problem import make_problem, write_files
from tools.benchmarks.evaluation import Ours, compare, largest_difference


@pytest.fixture
def problem():
    return make_problem(7, 20, 3, instances=2, duration=60)


def test_size_and_files(problem, tmp_path):
    """What is read back is what the tables hold, but for the order of the instances."""
    assert np.bincount(problem.predictions.videos).tolist() == [20] * 7
    assert len(np.unique(problem.predictions.scores)) == 140, 'no ties'
    files = write_files(problem, tmp_path)
    ours = Ours(problem, files, np.array([0.3, 0.5]))
    truth, found = ours.load()
    for column, expected in zip(found, problem.predictions):
        np.testing.assert_array_equal(column, expected)
    rows = [sorted(zip(t.videos, *t.segments.T, t.labels)) for t in (truth, problem.ground_truth)]
    assert rows[0] == rows[1]
    assert 0 < np.nanmean(ours.average_precision((truth, found))) < 1


def test_turns_are_taken():
    turns = []
    result, _ = compare(lambda: turns.append('ours'), lambda: turns.append('peer'), rounds=2)
    assert turns == (['ours'] * 5 + ['peer']) * 2
    assert (result['ours_runs'], result['peer_runs']) == (10, 2)


def test_results_that_differ_are_refused():
    ours = np.array([[0.5, np.nan], [0.25, np.nan]])
    assert largest_difference('average_precision', ours, ours[:, :1]) == 0
    with pytest.raises(SystemExit, match='the results differ by'):
        largest_difference('average_precision', ours, ours[:, :1] + 1e-6)
