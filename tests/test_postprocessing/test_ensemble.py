"""Ensembles: pooled candidates, and clusters of detections with weighted means."""

import json

import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.postprocessing import (
    Detections,
    PostProcessor,
    ProposalFile,
    RawPredictionError,
    RawPredictions,
    VideoCandidates,
    ensemble_files,
    weighted_segment_ensemble,
    write_raw_predictions,
)


def model(seed, n=40, classes=2):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 60, n)
    segments = np.stack([start, start + rng.uniform(2, 9, n)], axis=1)
    return Detections(segments, rng.uniform(0.01, 1, n), rng.integers(0, classes, n))


def tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    return inter / ((a[1] - a[0]) + (b[1] - b[0]) - inter)


def reference_weighted(models, weights, iou_thr):
    """Weighted boxes fusion with lists, from its paper."""
    weights = [w / max(weights) for w in weights]
    pool = sorted(
        ((s * w, *t, int(c)) for m, w in zip(models, weights) for t, s, c in zip(*m)),
        key=lambda row: -row[0],
    )
    clusters = []
    for row in pool:
        same = [c for c in clusters if c[0][3] == row[3]]
        best = max(same, key=lambda c: tiou(mean_segment(c), row[1:3]), default=None)
        if best is not None and tiou(mean_segment(best), row[1:3]) > iou_thr:
            best.append(row)
        else:
            clusters.append([row])
    result = []
    for cluster in clusters:
        mean = sum(row[0] for row in cluster) / len(cluster)
        score = mean * min(len(cluster), len(models)) / sum(weights)
        result.append((score, *mean_segment(cluster), cluster[0][3]))
    return np.array(sorted(result, reverse=True))


def mean_segment(cluster):
    total = sum(row[0] for row in cluster)
    return tuple(sum(row[0] * row[k] for row in cluster) / total for k in (1, 2))


@pytest.mark.parametrize('weights', [[1, 1, 1], [2.0, 1.0, 0.5]])
def test_weighted_segment_ensemble_equals_lists(weights):
    for seed in range(10):
        models = [model(10 * seed + i) for i in range(3)]
        found = weighted_segment_ensemble(models, weights, 0.45)
        expected = reference_weighted(models, weights, 0.45)
        assert len(expected) < 120
        np.testing.assert_allclose(found.scores, expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(found.segments, expected[:, 1:3], rtol=1e-12)
        np.testing.assert_array_equal(found.labels, expected[:, 3])
        some = weighted_segment_ensemble(models, weights, 0.45, max_out=7)
        np.testing.assert_array_equal(some.scores, found.scores[:7])


def test_agreeing_models_keep_their_score_and_a_lonely_find_loses():
    segment, label = np.array([[0.0, 10.0]]), np.array([0])
    a, b = (Detections(segment, np.array([s]), label) for s in (0.8, 0.6))
    none = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    np.testing.assert_allclose(weighted_segment_ensemble([a, b]).scores, [0.7])
    np.testing.assert_allclose(weighted_segment_ensemble([a, none]).scores, [0.4])
    assert weighted_segment_ensemble([none, none]).segments.shape == (0, 2)
    point = Detections(np.array([[5.0, 5.0]]), np.array([0.5]), label)
    assert len(weighted_segment_ensemble([point, point]).scores) == 2


@pytest.mark.parametrize('weights', [[1], [1, 0], [1, -1], [1, np.nan]])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match='weights must be 2 numbers > 0'):
        weighted_segment_ensemble([model(0), model(1)], weights)


def test_bad_threshold():
    with pytest.raises(ValueError, match=r'iou_thr must be in \(0, 1\)'):
        weighted_segment_ensemble([model(0)], iou_thr=1)


def save(path, seed, videos=('v1', 'v2'), duration=70.0, classes=('a', 'b')):
    write_raw_predictions(
        path,
        classes,
        [
            VideoCandidates(v, duration, [model(seed + i)], np.array([[0.0, duration]]))
            for i, v in enumerate(videos)
        ],
    )
    return RawPredictions(path)


def test_pool_is_the_post_processing_of_all_weighted_candidates(tmp_path):
    files = [save(tmp_path / 'a.npz', 0), save(tmp_path / 'b.npz', 50)]
    process = PostProcessor(voting_iou=0.7)
    found = dict(ensemble_files(files, process, [1.0, 0.5]))
    assert list(found) == ['v1', 'v2']
    one, other = model(1), model(51)
    expected = process(
        np.concatenate([one.segments, other.segments]),
        np.concatenate([one.scores, other.scores / 2]),
        np.concatenate([one.labels, other.labels]),
        70.0,
    )
    for a, b in zip(found['v2'], expected):
        np.testing.assert_array_equal(a, b)
    swapped = dict(ensemble_files(files[::-1], process, [1.0, 2.0]))
    for a, b in zip(swapped['v2'], expected):
        np.testing.assert_array_equal(a, b)


def test_wsf_post_processes_every_model_first(tmp_path):
    files = [save(tmp_path / 'a.npz', 0), save(tmp_path / 'b.npz', 50)]
    process = PostProcessor(nms=dict(type='nms', iou_thr=0.5), max_per_video=10)
    found = dict(ensemble_files(files, process, method='weighted', iou_thr=0.6))
    models = [process(*model(seed), 70.0) for seed in (0, 50)]
    for a, b in zip(found['v1'], weighted_segment_ensemble(models, None, 0.6, 10)):
        np.testing.assert_array_equal(a, b)


def test_files_that_do_not_fit_together(tmp_path):
    a = save(tmp_path / 'a.npz', 0)
    fewer = save(tmp_path / 'b.npz', 0, videos=('v1',))
    process = PostProcessor()
    with pytest.raises(RawPredictionError, match=r'b\.npz lacks 1 of 2 videos \(v2, ...\)'):
        list(ensemble_files([a, fewer], process))
    with pytest.raises(RawPredictionError, match='different classes'):
        list(ensemble_files([a, save(tmp_path / 'c.npz', 0, classes=('b', 'a'))], process))
    with pytest.raises(RawPredictionError, match=r'"v1" lasts 70 s in .* but 71 s in'):
        list(ensemble_files([a, save(tmp_path / 'd.npz', 0, duration=71.0)], process))
    with pytest.raises(ValueError, match='method must be one of'):
        list(ensemble_files([a], process, method='mean'))
    for method in ('pool', 'weighted'):
        found = dict(ensemble_files([a, fewer], process, method=method, partial=True))
        assert list(found) == ['v1', 'v2'] and len(found['v2'].scores)


@pytest.fixture
def annotations(tmp_path):
    database = {
        name: dict(subset='test', duration=50.0, annotations=[dict(segment=[1, 2], label=label)])
        for name, label in (('v_x', 'a'), ('y', 'b'), ('z', 'b'))
    }
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(database=database)))
    return load_annotations(path)


def test_proposals_of_another_system(tmp_path, annotations):
    results = {
        'x': [
            dict(segment=[1, 2.5], score=0.7, label='a'),
            dict(segment=[3, 4], score=0.123456789, label='b'),
        ],
        'v_y': [dict(segment=[5, 60], score=0.5, label='b')],
        'unknown': [dict(segment=[1, 2], score=0.5)],
    }
    path = tmp_path / 'proposals.json'
    path.write_text(json.dumps(dict(results=results)))
    file = ProposalFile(path, annotations)
    assert file.video_ids == ('v_x', 'y') and 'z' not in file and file.has_labels
    found = dict(ensemble_files([file], PostProcessor(score_thr=0)))
    np.testing.assert_array_equal(found['v_x'].scores, [0.7, 0.123456789])
    np.testing.assert_array_equal(found['y'].segments, [[5, 50]])
    np.testing.assert_array_equal(found['v_x'].labels, [0, 1])
    np.testing.assert_array_equal(found['y'].labels, [1])


def without_labels(tmp_path):
    results = dict(x=[], y=[dict(segment=[5, 60], score=0.5), dict(segment=[1, 2], score=0.25)])
    path = tmp_path / 'proposals.json'
    path.write_text(json.dumps(dict(results=results)))
    return path


def test_proposals_without_labels_need_a_classifier_that_assigns(tmp_path, annotations):
    file = ProposalFile(without_labels(tmp_path), annotations)
    assert not file.has_labels
    scores = tmp_path / 'scores.json'
    scores.write_text(json.dumps({name: dict(a=0.25, b=0.75) for name in ('x', 'y', 'z')}))
    classifier = dict(type='ExternalClassifier', path=str(scores), top_n=1)
    detections = tmp_path / 'detections.json'
    detections.write_text('{"results": {"x": [], "y": []}}')
    labelled = ProposalFile(detections, annotations)
    assert labelled.has_labels, 'nothing lacks one'
    message = r'proposals\.json has no labels, but there are 2 classes; .* mode "assign"'
    for named in (None, dict(classifier, mode='rescore')):
        with pytest.raises(RawPredictionError, match=message):
            list(ensemble_files([labelled, file], PostProcessor(classifier=named)))
    assert dict(ensemble_files([labelled], PostProcessor()))['y'].labels.shape == (0,)
    found = dict(ensemble_files([labelled, file], PostProcessor(classifier=classifier)))
    np.testing.assert_array_equal(found['y'].labels, [1, 1])
    np.testing.assert_array_equal(found['y'].scores, [0.5 * 0.75, 0.25 * 0.75])


def test_proposals_without_labels_are_of_the_only_class(tmp_path):
    video = dict(duration=50.0, annotations=[dict(segment=[1, 2], label='a')])
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(database=dict(y=video))))
    file = ProposalFile(without_labels(tmp_path), load_annotations(path))
    found = dict(ensemble_files([file], PostProcessor()))
    np.testing.assert_array_equal(found['y'].labels, [0, 0])


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not valid JSON'),
        ('[]', '"results" must map'),
        ('{"results": {"q": []}}', 'has none of the 3 videos'),
        ('{"results": {"y": [], "y": []}}', "'y' occurs twice"),
        ('{"results": {"y": [{"segment": [1], "score": 1}]}}', 'video "y", item 0: needs'),
        ('{"results": {"y": [{"segment": [1, 2], "score": 1, "label": "q"}]}}', 'label.* is .q.'),
        (
            '{"results": {"y": [{"segment": [1, 2], "score": 1, "label": ["a"]}]}}',
            r'video "y", item 0: field "label" is \[.a.\]',
        ),
        (
            '{"results": {"x": [{"segment": [1, 2], "score": 1, "label": "a"}], "y": [{"segment": '
            '[1, 2], "score": 1, "label": "a"}, {"segment": [3, 4], "score": 1}]}}',
            r'proposals\.json: video "y", item 1 has no "label", but video "v_x", item 0 has one',
        ),
    ],
)
def test_bad_proposal_files(tmp_path, annotations, content, message):
    path = tmp_path / 'proposals.json'
    path.write_text(content)
    with pytest.raises(RawPredictionError, match=message):
        ProposalFile(path, annotations).read('y')


def test_labels_in_other_fields(tmp_path):
    items = [dict(segment=[1, 2], verb='cut', noun=noun) for noun in (4, 7)]
    video = dict(duration=50.0, annotations=items)
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(database=dict(y=video))))
    pairs = load_annotations(path, label_fields=('verb', 'noun'))
    results = tmp_path / 'found.json'
    found = [dict(item, score=0.5) for item in reversed(items)]
    results.write_text(json.dumps(dict(results=dict(y=found))))
    file = ProposalFile(results, pairs, ('verb', 'noun'))
    assert file.has_labels and file.classes == ('cut,4', 'cut,7')
    assert file.read('y').windows[0].labels.tolist() == [1, 0]
    assert not ProposalFile(results, pairs).has_labels
    del found[1]['noun']
    results.write_text(json.dumps(dict(results=dict(y=found))))
    with pytest.raises(RawPredictionError, match=r'item 1: field "verb" and "noun" is .*None'):
        ProposalFile(results, pairs, ('verb', 'noun')).read('y')
