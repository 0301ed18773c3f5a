"""Which videos count on both sides, and what is said about the others."""

import json

import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations, read_video_list
from mmtad_decomp.evaluation import (
    find_oddities,
    ground_truth_table,
    prediction_table,
)
from mmtad_decomp.postprocessing import Detections


@pytest.mark.parametrize(
    'text', ['["a", "b", "a"]', '{"a": "gone", "b": "gone"}', '# blocked\na\n\n  b \na\n']
)
def test_video_lists(tmp_path, text):
    (tmp_path / 'list').write_text(text)
    assert read_video_list(str(tmp_path / 'list')) == ('a', 'b')
    assert read_video_list(['a', 'b']) == ('a', 'b')


def test_a_list_may_say_that_there_is_none(tmp_path):
    (tmp_path / 'list').write_text('[]')
    assert read_video_list(str(tmp_path / 'list')) == read_video_list(()) == ()


@pytest.mark.parametrize('text', ['', '# none\n', '[1]', '["a"', '[["a"]]'])
def test_lists_that_name_nothing_are_refused(tmp_path, text):
    (tmp_path / 'list').write_text(text)
    with pytest.raises(ValueError, match=r'list of videos .*list'):
        read_video_list(str(tmp_path / 'list'))
    with pytest.raises(ValueError, match='missing cannot be read'):
        read_video_list(str(tmp_path / 'missing'))


@pytest.fixture
def annotations(tmp_path):
    database = {
        name: dict(duration=10.0, annotations=[dict(segment=[1, 2], label=label)])
        for name, label in (('a', 'x'), ('b', 'y'), ('c', 'x'), ('d', 'x'))
    }
    (tmp_path / 'ann.json').write_text(json.dumps(dict(database=database)))
    return load_annotations(tmp_path / 'ann.json', exclude_videos=('d', 'e'))


def found(*segments):
    n = len(segments)
    return Detections(np.array(segments).reshape(-1, 2), np.ones(n), np.zeros(n, dtype=int))


def test_tables_number_the_annotated_videos(annotations):
    truth = ground_truth_table(annotations)
    assert truth.videos.tolist() == [0, 1, 2] and truth.labels.tolist() == [0, 1, 0]
    videos = {'c': found([0, 1.0]), 'other': found([0, 2.0]), 'a': found([0, 3.0], [0, 4.0])}
    table = prediction_table(annotations, videos)
    assert table.videos.tolist() == [2, 0, 0] and table.segments[:, 1].tolist() == [1, 3, 4]
    assert len(prediction_table(annotations, {}).scores) == 0


def test_oddities(annotations):
    videos = {
        'a': found([0.0, 10.0005], [-0.5, 3], [3, 10.5], [4, 4]),
        'b': found(),
        'd': found([0.0, 50.0]),
        'other': found([0.0, 50.0]),
    }
    oddities = find_oddities(annotations, videos, ('d', 'e'))
    assert oddities == (['other'], ['c'], ['b'], 0, 2, 1, False)
    assert [line.split(':')[0] for line in oddities.warnings()] == [
        '1 videos with detections are not annotated and left out',
        '1 annotated videos are not among the detections',
        '1 videos have no detection',
        '2 detections reach out of their video; they count whole',
        '1 detections have no length',
    ]
    clean = {name: found([0.0, 1.0]) for name in 'abc'}
    assert find_oddities(annotations, clean, ('d',)).warnings() == []


def test_exclusion_that_excludes_nothing_is_reported(tmp_path, annotations):
    loaded = load_annotations(annotations.ann_file, exclude_videos=('v_a', 'v_b'))
    videos = {name: found([0.0, 1.0]) for name in 'abcd'}
    assert find_oddities(loaded, videos, ('v_a', 'v_b')).warnings() == [
        'none of the 2 videos to exclude is annotated'
    ]
