"""External classifiers: the layouts of their files and how their scores come in."""

import json
import math

import numpy as np
import pytest
from mmaction.registry import TASK_UTILS

from mmtad_decomp.postprocessing import ClassifierScoresError, Detections, ExternalClassifier
from mmtad_decomp.postprocessing.classifier_scores import load_classifier_scores

CLASSES = ('b', 'a', 'c')
TABLE = {'v1': dict(a=0.5, b=0.2, c=0.3), 'v2': dict(a=0.0, b=0.9, c=0.1)}
DETECTIONS = Detections(
    np.array([[0.0, 1.0], [2.0, 4.0]]), np.array([0.64, 0.25]), np.array([0, 2])
)


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def cuhk(tmp_path, names='class'):
    scores = {video: [row['a'], row['b'], row['c']] for video, row in TABLE.items()}
    return write(tmp_path / 'cuhk.json', {'results': scores, names: ['a', 'b', 'c']})


def layouts(tmp_path):
    """The same table in every layout, with the options that it needs."""
    matrix = np.array([[row[name] for name in 'abc'] for row in TABLE.values()])
    listed = {
        video: [dict(label=name, score=score) for name, score in row.items()]
        for video, row in TABLE.items()
    }
    arrays = dict(video_ids=list(TABLE), scores=matrix, classes=['a', 'b', 'c'])
    np.savez(tmp_path / 'scores.npz', **arrays)
    np.savez(tmp_path / 'bare.npz', scores=matrix)
    np.save(tmp_path / 'scores.npy', matrix[:, ::-1])
    (tmp_path / 'names.txt').write_text('a\nb\n\nc\n')
    (tmp_path / 'ids.txt').write_text('v1\nv2\n')
    bare = {video: list(row.values()) for video, row in TABLE.items()}
    texts = dict(columns=str(tmp_path / 'names.txt'), video_ids=str(tmp_path / 'ids.txt'))
    return [
        (cuhk(tmp_path), {}),
        (write(tmp_path / 'classes.json', dict(results=bare, classes=['a', 'b', 'c'])), {}),
        (write(tmp_path / 'listed.json', dict(results=listed)), {}),
        (write(tmp_path / 'plain.json', TABLE), {}),
        (write(tmp_path / 'wrapped.json', dict(results=TABLE)), {}),
        (
            write(tmp_path / 'nested.json', {v: [r] for v, r in bare.items()}),
            dict(columns=list('abc')),
        ),
        (write(tmp_path / 'arrays.json', dict(arrays, scores=matrix.tolist())), {}),
        (str(tmp_path / 'scores.npz'), {}),
        (str(tmp_path / 'bare.npz'), texts),
        (
            str(tmp_path / 'scores.npy'),
            dict(columns=dict(a=2, b=1, c=0), video_ids='v{}'),
        ),
    ]


def test_every_layout_gives_the_same_scores(tmp_path):
    for path, options in layouts(tmp_path):
        classifier = ExternalClassifier(path, top_n=None, **options)
        classifier.bind(CLASSES, ['v1', 'v2'])
        for video, row in TABLE.items():
            found = classifier(DETECTIONS, video)
            expected = {
                (start, label): 0.64 * row[name] if start == 0 else 0.25 * row[name]
                for label, name in enumerate(CLASSES)
                for start in (0.0, 2.0)
                if row[name] > 0
            }
            keys = zip(found.segments[:, 0].tolist(), found.labels.tolist())
            assert dict(zip(keys, found.scores)) == pytest.approx(expected), path


@pytest.mark.parametrize('empty', [[], {}])
@pytest.mark.parametrize('place', [0, 1, 2])
def test_a_video_without_classes_may_stand_anywhere(tmp_path, place, empty):
    entries = [
        ('v1', [dict(label='a', score=0.5), dict(label='b', score=0.25)]),
        ('v2', dict(b=1)),
    ]
    entries.insert(place, ('none', empty))
    table = load_classifier_scores(write(tmp_path / 'x.json', dict(results=dict(entries))))
    scores = {name: table.scores[table.row(name)].tolist() for name, _ in entries}
    assert scores == dict(v1=[0.5, 0.25], v2=[0, 1], none=[0, 0])
    assert table.columns == dict(a=0, b=1)


def test_untrimmednet_scores_of_thumos14(tmp_path):
    """Row n - 1 is video_test_n, columns are UCF101's classes in the order of their names."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(1574, 101))
    scores[269, 20] = 5.0  # CleanAndJerk is UCF101's class 21
    np.save(tmp_path / 'uNet_test.npy', scores)
    table = load_classifier_scores(
        tmp_path / 'uNet_test.npy', 'thumos14_in_ucf101', 'video_test_{:07d}'
    )
    assert table.row('video_test_0000001') == 0 and table.row('video_test_0000270') == 269
    for other in ('video_test_0001575', 'video_test_0000000', 'video_validation_0000270', '270'):
        assert table.row(other) is None
    assert list(table.columns) == sorted(table.columns) and len(table.columns) == 20
    classifier = ExternalClassifier(
        table.path, columns='thumos14_in_ucf101', video_ids='video_test_{:07d}', top_n=1
    )
    with pytest.raises(ClassifierScoresError, match=r'no scores of 1 of 2 videos \(video_valid'):
        classifier.bind(list(table.columns), ['video_test_0000270', 'video_validation_0000270'])
    classifier.bind(list(table.columns), ['video_test_0000270'])
    found = classifier(DETECTIONS, 'video_test_0000270')
    np.testing.assert_array_equal(found.labels, [3, 3])
    np.testing.assert_allclose(found.scores, DETECTIONS.scores * 5)


@pytest.mark.parametrize(
    ('options', 'formula'),
    [
        (dict(combine='multiply'), lambda s, c: s * c),
        (dict(combine='sqrt'), lambda s, c: math.sqrt(s * c)),
        (dict(combine='power', power=0.25), lambda s, c: s**0.75 * c**0.25),
    ],
)
def test_combinations(tmp_path, options, formula):
    classifier = ExternalClassifier(cuhk(tmp_path), **options)
    classifier.bind(CLASSES, ['v1'])
    found = classifier(DETECTIONS, 'v1')
    expected = [(formula(s, c), label) for c, label in ((0.5, 1), (0.3, 2)) for s in (0.64, 0.25)]
    np.testing.assert_allclose(found.scores, [score for score, _ in expected])
    np.testing.assert_array_equal(found.labels, [label for _, label in expected])
    np.testing.assert_array_equal(found.segments, np.tile(DETECTIONS.segments, (2, 1)))


def test_sqrt_equals_actionformer(tmp_path):
    post = pytest.importorskip('actionformer.utils.postprocessing', exc_type=ImportError)
    rng = np.random.default_rng(1)
    names = [f'c{i:03}' for i in range(200)]
    scores = {f'v{i}': rng.uniform(size=200).tolist() for i in range(3)}
    path = write(tmp_path / 'cuhk.json', {'results': scores, 'class': names})
    results = {key: [] for key in ('video-id', 't-start', 't-end', 'label', 'score')}
    mine, process = (
        {},
        TASK_UTILS.build(
            dict(
                type='PostProcessor',
                nms=None,
                max_per_video=None,
                classifier=dict(type='ExternalClassifier', path=path, combine='sqrt'),
            )
        ),
    )
    process.prepare(names, list(scores))
    for video in scores:
        start, score = rng.uniform(0, 50, 30), rng.uniform(0.01, 1, 30)
        results['video-id'] += [video] * 30
        results['t-start'] += start.tolist()
        results['t-end'] += (start + 5).tolist()
        results['label'] += [0] * 30
        results['score'] += score.tolist()
        mine[video] = process(
            np.stack([start, start + 5], axis=1), score, np.zeros(30, int), 100, video
        )
    theirs = post.postprocess_results(results, path)
    ids = np.array(theirs['video-id'])
    for video, found in mine.items():
        rows = np.flatnonzero(ids == video)
        rows = rows[np.argsort(-theirs['score'][rows])]
        assert len(found.scores) == len(rows) == 60
        np.testing.assert_allclose(found.scores, theirs['score'][rows], rtol=1e-12)
        np.testing.assert_array_equal(found.labels, theirs['label'][rows])
        np.testing.assert_array_equal(found.segments[:, 0], theirs['t-start'][rows])


def test_rescoring_keeps_labels_and_drops_unlikely_classes(tmp_path):
    classifier = ExternalClassifier(cuhk(tmp_path), mode='rescore', top_n=None)
    classifier.bind(CLASSES, ['v1', 'v2'])
    found = classifier(DETECTIONS, 'v1')
    np.testing.assert_array_equal(found.labels, [0, 2])
    np.testing.assert_allclose(found.scores, [0.64 * 0.2, 0.25 * 0.3])
    best = ExternalClassifier(cuhk(tmp_path), mode='rescore', top_n=1)
    best.bind(CLASSES, ['v1', 'v2'])
    assert len(best(DETECTIONS, 'v1').scores) == 0
    np.testing.assert_array_equal(best(DETECTIONS, 'v2').labels, [0])


def test_softmax_is_over_all_columns(tmp_path):
    logits = {'v': [1.0, -2.0, 800.0, 799.0]}
    path = write(tmp_path / 'x.json', {'results': logits, 'class': ['a', 'b', 'c', 'other']})
    classifier = ExternalClassifier(path, softmax=True, top_n=1, ignore_other_classes=True)
    classifier.bind(CLASSES, ['v'])
    found = classifier(DETECTIONS, 'v')
    np.testing.assert_array_equal(found.labels, [2, 2])
    np.testing.assert_allclose(found.scores, DETECTIONS.scores / (1 + math.exp(-1)))


def test_activitynet_prefix_of_either_side(tmp_path):
    path = write(tmp_path / 'x.json', {'abc': dict(a=1.0, b=0, c=0), 'v_xyz': TABLE['v1']})
    classifier = ExternalClassifier(path, top_n=1)
    classifier.bind(CLASSES, ['v_abc', 'xyz'])
    np.testing.assert_allclose(classifier(DETECTIONS, 'v_abc').scores, DETECTIONS.scores)
    np.testing.assert_allclose(classifier(DETECTIONS, 'xyz').scores, DETECTIONS.scores / 2)


def processor(path, **options):
    classifier = dict(type='ExternalClassifier', path=path, combine='sqrt')
    options = dict(nms=dict(type='nms', iou_thr=0.5)) | options
    process = TASK_UTILS.build(dict(type='PostProcessor', classifier=classifier, **options))
    process.prepare(CLASSES, ['v1', 'v2'])
    return process


def test_proposals_are_bounded_before_and_detections_after(tmp_path):
    segments = np.array([[10.0 * i, 10.0 * i + 5] for i in range(6)] + [[0.0, 5.1]])
    scores = np.linspace(0.9, 0.3, 7)
    labels = np.array([7, 8, 9, 7, 8, 9, 1])  # not read: proposals have no class
    found = processor(cuhk(tmp_path), max_proposals=4, max_per_video=7)(
        segments, scores, labels, 99, 'v1'
    )
    expected = sorted(
        ((math.sqrt(s * c), label, *seg) for s, seg in zip(scores[:4], segments.tolist())
         for c, label in ((0.5, 1), (0.3, 2))),
        reverse=True,
    )[:7]  # fmt: skip
    np.testing.assert_allclose(found.scores, [row[0] for row in expected])
    np.testing.assert_array_equal(found.labels, [row[1] for row in expected])
    np.testing.assert_array_equal(found.segments, [row[2:] for row in expected])


@pytest.mark.parametrize('nms', [dict(type='nms', iou_thr=0.5), None])
def test_classifying_before_nms_equals_nms_of_the_products(tmp_path, nms):
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 20, 50)
    segments, scores = np.stack([start, start + 4], axis=1), rng.uniform(0.01, 1, 50)
    before = processor(cuhk(tmp_path), classify='before_nms', max_per_video=30, nms=nms)
    found = before(segments, scores, np.zeros(50, int), 99, 'v1')
    plain = TASK_UTILS.build(dict(type='PostProcessor', nms=nms, max_per_video=30))
    expected = plain(
        np.concatenate([segments, segments]),
        np.concatenate([np.sqrt(scores * 0.5), np.sqrt(scores * 0.3)]),
        np.repeat([1, 2], 50),
        99,
    )
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        (TABLE, {}, 'no scores of 1 of 2 videos (v3)'),
        ({'v1': dict(a=1), 'v3': dict(b=1)}, {}, "lacks 1 of the data set's 3: c"),
        ({'v1': dict(a=1, b=1, c=1, d=1), 'v3': {}}, {}, '1 classes that the data set does not'),
        ({'v1': [1, 2], 'v3': [1, 2]}, dict(columns=list('abc')), 'there are 2, but 3 names'),
        (
            {'v1': [1, 2, 3], 'v3': [1, 2]},
            dict(columns=list('abc')),
            'equally many for every video',
        ),
        ({'v1': [1, 2, 3], 'v3': [1, 2, 3]}, {}, 'does not say which class a column is'),
        ({'v1': [1, 2, 3], 'v3': [1, 2, -3]}, dict(columns=list('abc')), 'set `softmax=True`'),
        ({'v1': [1, 2, math.nan], 'v3': [1, 2, 3]}, dict(columns=list('abc')), 'must be finite'),
        (dict(results=TABLE), dict(video_ids=['v1', 'v3']), 'leave `video_ids` out'),
        (dict(results=TABLE), dict(columns=list('abc')), 'leave `columns` out'),
        ({'v1': dict(a='x'), 'v3': {}}, {}, 'video "v1" must have {class: score}'),
        ({}, {}, 'scores of no video'),
        ({'v1': [], 'v3': []}, {}, 'scores of no video'),
        ({'v1': {}, 'v3': {}}, {}, 'scores of no video'),
        ([1], {}, 'must be an object'),
        ({'v1': [1] * 3, 'v3': [1] * 3}, dict(columns='thumos14_in_ucf101'), 'has 101 classes'),
        ({'v1': [1] * 3, 'v3': [1] * 3}, dict(columns=dict(a=3)), 'count from 0'),
        ({'v1': [1] * 3, 'v3': [1] * 3}, dict(columns='nowhere.txt'), 'neither a list nor'),
    ],
)
def test_files_that_do_not_fit_are_refused_before_testing(tmp_path, content, options, message):
    path = write(tmp_path / 'scores.json', content)
    process = TASK_UTILS.build(
        dict(
            type='PostProcessor',
            classifier=dict(type='ExternalClassifier', path=path, **options),
        )
    )
    with pytest.raises(ClassifierScoresError) as error:
        process.prepare(CLASSES, ['v1', 'v3'])
    assert message in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / 'x.json').write_text('{')
    (tmp_path / 'twice.json').write_text('{"v": {"a": 1}, "v": {"a": 2}}')
    (tmp_path / 'x.npz').write_text('no zip')
    (tmp_path / 'x.pkl').write_bytes(b'')
    np.save(tmp_path / 'objects.npy', np.array([{}], dtype=object))
    np.save(tmp_path / 'flat.npy', np.zeros(3))
    np.save(tmp_path / 'rows.npy', np.zeros((2, 3)))
    np.savez(tmp_path / 'other.npz', logits=np.zeros((2, 3)))
    for name, message in (
        ('x.json', 'not valid JSON'),
        ('twice.json', "'v' occurs twice"),
        ('x.npz', 'cannot be read as NumPy arrays'),
        ('x.pkl', 'pickles are not read'),
        ('objects.npy', 'not of objects'),
        ('flat.npy', r'table, got shape \(3,\)'),
        ('rows.npy', 'does not say which video a row is'),
        ('other.npz', r'"scores" is missing, got \[\'logits\'\]'),
        ('none.json', 'do not exist'),
    ):
        with pytest.raises(ClassifierScoresError, match=message):
            load_classifier_scores(tmp_path / name, columns=list('abc'))
    for video_ids, message in (
        ('v{', r"'v\{' is not a pattern such as 'video_test_\{:07d\}'"),
        ('v{}{}', 'is not a pattern'),
        ('v{number}', 'is not a pattern'),
        ('{{v}}', 'there are 2, but 2 names, 1 of them different'),
        ('trailing_number', "neither a list, a pattern such as 'video_test_{:07d}' nor a text"),
    ):
        with pytest.raises(ClassifierScoresError, match=message):
            load_classifier_scores(tmp_path / 'rows.npy', list('abc'), video_ids)


def test_use_without_preparation_and_negative_scores(tmp_path):
    classifier = ExternalClassifier(cuhk(tmp_path))
    with pytest.raises(RuntimeError, match=r'prepare\(classes, video_ids\)'):
        classifier(DETECTIONS, 'v1')
    classifier.bind(CLASSES, ['v1'])
    with pytest.raises(RuntimeError, match="no scores of video 'v2'"):
        classifier(DETECTIONS, 'v2')
    with pytest.raises(ValueError, match='set score_thr >= 0'):
        classifier(DETECTIONS._replace(scores=np.array([-1.0, 0.5])), 'v1')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mode='x'), "mode must be 'assign' or 'rescore'"),
        (dict(combine='x'), 'combine must be'),
        (dict(combine='power'), 'power belongs to'),
        (dict(power=0.5), 'power belongs to'),
        (dict(combine='power', power=1), r'power must be in \(0, 1\)'),
        (dict(top_n=0), 'top_n must be >= 1'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExternalClassifier('scores.json', **options)
