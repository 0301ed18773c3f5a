"""Reading and writing submissions."""

import json
import tracemalloc

import numpy as np
import pytest

from mmtad_decomp.evaluation import (
    SubmissionError,
    load_submission,
    read_submission,
    write_submission,
)
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
        ('', 'is not valid JSON'),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1], "score": NaN}]}}',
            'video "v", detection 0: needs a finite number "score"; got nan',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1], "score": "0.5"}]}}',
            'needs a finite number "score"; got \'0.5\'',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1], "score": true}]}}',
            'needs a finite number "score"; got True',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, Infinity], "score": 1}]}}',
            'two finite numbers; got \\[0, inf\\]',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1, 2], "score": 1}]}}',
            'two finite numbers; got \\[0, 1, 2\\]',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": "01", "score": 1}]}}',
            "two finite numbers; got '01'",
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1%s], "score": 1}]}}' % ('0' * 400),
            'two finite numbers',
        ),
        (
            '{"results": {"v": [], "w": [{"label": ["a"], "segment": [0, 1], "score": 1}]}}',
            'video "w", detection 0: field "label" is \\[\'a\'\\]',
        ),
        (
            '{"results": {"v": [{"label": "a", "segment": [0, 1], "score": 1}], "v": []}}',
            "key 'v' occurs twice",
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


def test_what_is_odd_is_counted_and_left_in_order(tmp_path):
    def item(label, start, end=9.0):
        return dict(segment=[start, end], score=0.5, label=label)

    results = {
        'v': [item('a', 1), item('Ambiguous', 2), item('b', 3)],
        'empty': [],
        'w': [item('x', 4), item('a', 9.5, 5)],
    }
    (tmp_path / 'x.json').write_text(json.dumps(dict(results=results)))
    submission = read_submission(
        tmp_path / 'x.json', CLASSES, ignore_labels=['Ambiguous'], drop_unknown_labels=True
    )
    starts = {name: found.segments[:, 0].tolist() for name, found in submission.videos.items()}
    assert starts == {'v': [1, 3], 'empty': [], 'w': [9.5]}
    assert submission.videos['w'].segments.tolist() == [[9.5, 9.5]], 'a false positive'
    census = submission.census
    assert (census.videos, census.detections, census.reversed) == (3, 3, 1)
    assert census.ignored == {'Ambiguous': 1} and census.unknown == {'x': 1}
    with pytest.raises(SubmissionError, match=r'video "w", detection 0: .* is .x.'):
        read_submission(tmp_path / 'x.json', CLASSES, ignore_labels=['Ambiguous'])


def test_a_label_named_segment_is_no_duplicate(tmp_path):
    """Lost detections are noticed by their number of segments, of which this looks like one."""
    results = {'v': [dict(segment=[0, 1], score=0.5, label='segment')]}
    (tmp_path / 'x.json').write_text(json.dumps(dict(results=results)))
    assert len(load_submission(tmp_path / 'x.json', ['segment'])['v'].scores) == 1


def test_objects_of_one_video_exist_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    path, count = tmp_path / 'x.json', 100
    found = Detections(
        np.sort(rng.uniform(size=(count, 2))), rng.uniform(size=count), np.zeros(count, np.int64)
    )
    write_submission(path, {f'v{i}': found for i in range(50)}, CLASSES)
    tracemalloc.start()
    try:
        read = load_submission(path, CLASSES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read) == 50
    assert peak < 3 * path.stat().st_size, 'bytes and text of the file, and columns'
