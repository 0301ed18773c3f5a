"""Reading and writing submissions."""

import json

import numpy as np
import pytest

from mmtad_decomp.evaluation import SubmissionError, load_submission, write_submission
from mmtad_decomp.postprocessing import Detections

CLASSES = ('a', 'b')


def test_round_trip_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    videos = {
        'v': Detections(
            np.sort(rng.uniform(size=(5, 2)), axis=1), rng.uniform(size=5), rng.integers(0, 2, 5)
        ),
        'empty': Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64)),
    }
    write_submission(tmp_path / 'x.json', videos, CLASSES)
    loaded = load_submission(tmp_path / 'x.json', CLASSES)
    assert list(loaded) == ['v', 'empty']
    for name in videos:
        for ours, theirs in zip(videos[name], loaded[name]):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'is not valid JSON'),
        ('[]', 'field "results" must map'),
        ('{"results": {"v": 3}}', 'field "results" must map'),
        ('{"results": {"v": [3]}}', 'video "v", detection 0 must be an object'),
        (
            '{"results": {"v": [{"segment": [0, 1], "score": 1, "label": "c"}]}}',
            'field "label" is \'c\', not one of the 2 classes',
        ),
        ('{"results": {"v": [{"label": "a", "score": 1}]}}', 'needs "segment"'),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1], "score": "x"}]}}',
            'number "score"',
        ),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    path = tmp_path / 'results.json'
    path.write_text(content)
    with pytest.raises(SubmissionError, match=message) as error:
        load_submission(path, CLASSES)
    assert 'results.json' in str(error.value)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(SubmissionError, match='does not exist; let the test write it'):
        load_submission(tmp_path / 'results.json', CLASSES)


def test_nan_is_not_written(tmp_path):
    videos = {'v': Detections(np.array([[0, 1.0]]), np.array([np.nan]), np.array([0]))}
    with pytest.raises(ValueError, match='Out of range float'):
        write_submission(tmp_path / 'x.json', videos, CLASSES)
    assert json.dumps(list(tmp_path.iterdir())) == '[]'
