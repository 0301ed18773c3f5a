"""Annotation files: what is read, cleaned and counted, and what is refused with which words."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.annotations import AnnotationError, load_annotations, read_video_list
from mmtad_decomp.datasets import TADDataset
from mmtad_decomp.evaluation import TADMetric, read_submission
from mmtad_decomp.postprocessing import ProposalFile
from mmtad_decomp.postprocessing.classifier_scores import load_classifier_scores


def video(**changes) -> dict:
    entry = {
        'subset': 'training',
        'duration': 10.0,
        'fps': 25,
        'frame': 250,
        'path': 'videos/v.mp4',
        'annotations': [{'segment': [1.0, 2.0], 'label': 'run'}],
    }
    return {key: value for key, value in (entry | changes).items() if value is not ...}


def instance(segment, label='run') -> dict:
    return {'segment': segment, 'label': label}


@pytest.fixture
def load(tmp_path: Path):
    def write_and_load(database, file_fields=None, **arguments):
        file = tmp_path / 'annotations.json'
        file.write_text(json.dumps({'database': database, **(file_fields or {})}))
        return load_annotations(file, **arguments)

    return write_and_load


def test_fields_and_order_of_classes(load):
    annotations = [instance([5, 6.5], 'walk'), instance([1, 2])]
    loaded = load({'v': video(annotations=annotations), 'w': video(fps=..., frame=None, path=...)})
    assert loaded.classes == ('run', 'walk'), 'sorted where the file does not say'
    v, w = loaded.videos.values()
    assert (v.fps, v.num_frames, v.path, v.duration) == (25.0, 250, 'videos/v.mp4', 10.0)
    assert (w.fps, w.num_frames, w.path) == (None, None, None)
    np.testing.assert_array_equal(v.segments, [[1, 2], [5, 6.5]])
    assert v.segments.dtype == np.float64
    assert v.labels.tolist() == [0, 1]
    ordered = load({'v': video(annotations=annotations)}, {'classes': ['walk', 'run']})
    assert ordered.classes == ('walk', 'run')
    assert ordered.videos['v'].labels.tolist() == [1, 0]
    given = load({'v': video(annotations=annotations)}, classes=('run', 'swim', 'walk'))
    assert given.videos['v'].labels.tolist() == [0, 2]


def test_census_counts_what_is_cleaned(load):
    bad = [
        instance([3, 2]),
        instance([4, 4]),
        instance([11, 12]),
        instance([-3, -1]),
        instance([10, 12]),
        instance([8, 12]),
        instance([-1, 1.5]),
        instance([5, 6]),
        instance([5.0, 6.0]),
        instance([5, 6], 'walk'),
        instance([8, 10]),
        instance([0, 9], 'Ambiguous'),
    ]
    loaded = load(
        {'v': video(annotations=bad), 'empty': video(annotations=[]), 'gone': video()},
        ignore_labels=('Ambiguous',),
        exclude_videos=('gone', 'never heard of'),
    )
    np.testing.assert_array_equal(loaded.videos['v'].segments, [[0, 1.5], [5, 6], [5, 6], [8, 10]])
    assert loaded.videos['v'].labels.tolist() == [0, 0, 1, 0]
    census = loaded.census
    assert census.dropped == {
        'reversed segments': 1,
        'zero-length segments': 1,
        'segments outside their video': 3,
        'duplicate segments': 2,
    }
    assert (census.clipped, census.videos, census.instances) == (2, 2, 4)
    assert (census.videos_without_instances, census.excluded_videos) == (1, 1)
    assert str(census) == (
        '2 videos, 4 instances, 1 videos without instances, 1 videos excluded, '
        '1 "Ambiguous" ignored, 2 duplicate segments dropped, 1 reversed segments dropped, '
        '3 segments outside their video dropped, 1 zero-length segments dropped, '
        '2 segments clipped to their video'
    )


def test_census_names_misspelt_subsets(load):
    names = ('training', 'traning', 'Training ', 'traning', 'validation', 'testing')
    database = {f'v{i}': video(subset=name) for i, name in enumerate(names)}
    census = load(database, subset=['training', 'validation']).census
    assert census.misspelt_subsets == {'traning': 2, 'Training ': 1}
    assert str(census).endswith(
        "1 videos of subset 'Training ' left out (misspelt?), "
        "2 videos of subset 'traning' left out (misspelt?)"
    )
    assert not load(database, subset='testing').census.misspelt_subsets


def test_subsets(load):
    database = {'a': video(), 'b': video(subset='test'), 'c': video(subset='validation')}
    assert list(load(database).videos) == ['a', 'b', 'c']
    assert list(load(database, subset='test').videos) == ['b']
    assert list(load(database, subset=('training', 'validation')).videos) == ['a', 'c']


NAN, INFINITY = float('nan'), float('inf')


@pytest.mark.parametrize(
    ('changes', 'field', 'fix'),
    [
        (dict(duration=...), '"duration" (seconds) is missing', 'add it'),
        (dict(duration=None), '"duration" (seconds) is missing', 'add it'),
        (dict(duration='10 s'), '"duration"', 'correct the file'),
        (dict(duration=True), '"duration"', 'correct the file'),
        (dict(duration=NAN), '"duration"', 'correct the file'),
        (dict(duration=0), '"duration" must be > 0', 'correct the file'),
        (dict(fps=-25), '"fps" must be > 0', 'correct the file'),
        (dict(fps='25'), '"fps"', 'correct the file'),
        (dict(frame=0), '"frame" must be > 0', 'correct the file'),
        (dict(frame=12.5), '"frame"', 'correct it'),
        (dict(path=7), '"path" must be a string', 'correct the file'),
        (dict(subset=['training']), '"subset" must be a string', 'correct the file'),
        (dict(annotations={}), '"annotations" must be a list', 'correct it'),
        (dict(annotations=None), '"annotations" must be a list', 'correct it'),
        (dict(annotations=['run']), '"label"', 'correct the file'),
        (dict(annotations=[{'segment': [1, 2]}]), '"label"', 'correct the file'),
        (dict(annotations=[instance([1, 2], 3)]), '"label"', 'correct the file'),
        (dict(annotations=[instance('1-2')]), '"segment" must be [start, end]', 'correct'),
        (dict(annotations=[instance([1])]), '"segment" must be [start, end]', 'correct'),
        (dict(annotations=[instance([1, None])]), 'annotations[0]: field "segment"', 'correct'),
        (dict(annotations=[instance([NAN, 2])]), 'annotations[0]: field "segment"', 'correct'),
        (dict(annotations=[instance([1, INFINITY])]), '"segment"', 'correct the file'),
    ],
)
def test_bad_fields(load, changes, field, fix):
    with pytest.raises(AnnotationError) as error:
        load({'v': video(**changes)})
    message = str(error.value)
    assert 'annotations.json' in message and 'video "v"' in message
    assert field in message and fix in message


@pytest.mark.parametrize(
    ('database', 'fields', 'arguments', 'words'),
    [
        ({'v': video()}, None, dict(classes=('walk',)), ['"run" (1)', "ignore_labels=['run']"]),
        (
            {
                name: video(annotations=[instance([1, 2], label) for label in labels])
                for name, labels in dict(
                    v=['Bin', 'sit', 'soon', 'jump1'], w=['soon', 'bin']
                ).items()
            },
            None,
            dict(classes=('bin', 'sits', 'jump2', 'walk'), ignore_labels=('jump1',)),
            [
                '3 labels (',
                '"Bin" (1; did you mean "bin"?), "sit" (1; did you mean "sits"?), "soon" (2);',
                "ignore_labels=['Bin', 'sit', 'soon']",
            ],
        ),
        (
            {'v': video(annotations=[instance([1, 2], label) for label in ('jump1', 'jump2')])},
            None,
            dict(classes=('jump2',)),
            ['"jump1" (1);'],  # jump2 is a label of its own
        ),
        ({'v': video()}, {'classes': ['walk']}, {}, ['"run" (1)', '`classes`']),
        ({'v': video()}, {'classes': 'run'}, {}, ['"classes" must be a list', 'correct it']),
        ({'v': video()}, {'classes': ['run', 'run']}, {}, ["['run'] more than once", 'keep one']),
        ({'v': video()}, None, dict(subset='tset'), ["'tset'", 'set `subset`', 'training']),
        ({'v': video()}, None, dict(subset=('training', 'tset')), ["'tset'", 'set `subset`']),
        ({'v': video()}, None, dict(exclude_videos=('v',)), ['`exclude_videos`']),
        ({'v': 3}, None, {}, ['video "v" must be an object', 'correct']),
        (['v'], None, {}, ['"database" must be an object', 'correct']),
    ],
)
def test_bad_files_and_settings(load, database, fields, arguments, words):
    with pytest.raises(AnnotationError) as error:
        load(database, fields, **arguments)
    for word in ['annotations.json', *words]:
        assert word in str(error.value)


def test_a_string_is_one_label_and_one_field(load, tmp_path):
    """The comma of ``('b',)`` is easily forgotten; the letters of 'abc' are labels here, too."""
    labels = ['a', 'b', 'c', 'abc']
    items = [dict(instance([i, i + 1], name), verb=f'do {name}') for i, name in enumerate(labels)]
    loaded = load({'v': video(annotations=items)}, ignore_labels='abc')
    assert loaded.classes == ('a', 'b', 'c') and loaded.census.ignored_labels == {'abc': 1}
    verbs = load({'v': video(annotations=items)}, label_fields='verb')
    assert verbs.classes == ('do a', 'do abc', 'do b', 'do c')
    file = str(tmp_path / 'annotations.json')
    assert TADMetric(file, ignore_labels='abc').annotations.classes == loaded.classes
    (tmp_path / 'v.npy').touch()
    dataset = TADDataset(file, 'feature', ignore_labels='abc', data_root=str(tmp_path))
    assert dataset.metainfo['classes'] == list(loaded.classes)
    found = [dict(item, score=0.5) for item in items]
    (tmp_path / 'results.json').write_text(json.dumps(dict(results={'v': found})))
    read = read_submission(tmp_path / 'results.json', loaded.classes, 'abc')
    assert read.census.ignored == {'abc': 1} and len(read.videos['v'].labels) == 3
    read = read_submission(tmp_path / 'results.json', verbs.classes, label_fields='verb')
    assert read.videos['v'].labels.tolist() == [0, 2, 3, 1]


def test_a_message_names_ten_of_many_labels(load):
    """Captions in place of labels: a message of all would fill the screen many times over."""
    database = {
        f'v{i:03d}': video(annotations=[instance([1, 2], f'caption {i:03d}' + i * ' and so on')])
        for i in range(500)
    }
    classes = [f'class {i}' for i in range(200)]
    with pytest.raises(AnnotationError) as error:
        load(database, classes=classes)
    message = str(error.value)
    assert '500 labels (and how often) are not among the 200 classes' in message
    assert '"caption 000" (1), "caption 001 and so on" (1)' in message
    assert '"caption 009' in message and 'caption 010' not in message
    assert 'and 490 more; ' in message and "'class 9'] and 190 more: " in message
    assert message.endswith('leave their instances out by `ignore_labels`')
    assert len(message) < 2000
    with pytest.raises(AnnotationError) as error:
        load(dict(list(database.items())[:10]), classes=classes[:1])
    assert 'caption 009' in str(error.value) and ' more' not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(AnnotationError, match=r'none\.json does not exist; set `ann_file`'):
        load_annotations(tmp_path / 'none.json')
    (tmp_path / 'cut.json').write_text('{"database": {')
    with pytest.raises(AnnotationError, match=r'cut\.json is not valid JSON .*; correct it'):
        load_annotations(tmp_path / 'cut.json')
    (tmp_path / 'binary.json').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(AnnotationError, match=r'binary\.json is not valid JSON'):
        load_annotations(tmp_path / 'binary.json')
    (tmp_path / 'list.json').write_text('[1]')
    with pytest.raises(AnnotationError, match=r'list\.json: field "database"'):
        load_annotations(tmp_path / 'list.json')
    with pytest.raises(AnnotationError, match=r'cannot be read .*; correct `ann_file`'):
        load_annotations(tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path):
    """Editors of Windows write one; json refuses it, and a list of videos would hold it."""

    def marked(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding='utf-8-sig')
        assert (tmp_path / name).read_bytes().startswith(b'\xef\xbb\xbf')
        return str(tmp_path / name)

    annotations = load_annotations(marked('a.json', json.dumps({'database': {'v': video()}})))
    assert list(annotations.videos) == ['v']
    for text in ('v\nw\n', '["v", "w"]'):
        assert read_video_list(marked('videos', text)) == ('v', 'w')
    found = dict(segment=[1.0, 2.0], score=0.5, label='run')
    results = marked('results.json', json.dumps(dict(results={'v': [found]})))
    assert read_submission(results, ['run']).videos['v'].scores.tolist() == [0.5]
    assert ProposalFile(results, annotations).read('v').windows[0].scores.tolist() == [0.5]
    scores = marked('scores.json', json.dumps({'v': [0.25, 0.75]}))
    table = load_classifier_scores(scores, marked('names.txt', 'run\nwalk\n'))
    assert table.columns == dict(run=0, walk=1) and table.scores.tolist() == [[0.25, 0.75]]


def test_a_video_id_that_occurs_twice_is_refused(tmp_path: Path):
    entry = json.dumps(video())
    (tmp_path / 'twice.json').write_text(f'{{"database": {{"v": {entry}, "v": {entry}}}}}')
    with pytest.raises(AnnotationError, match=r"twice\.json: key 'v' occurs twice"):
        load_annotations(tmp_path / 'twice.json')


def test_classes_of_other_fields(load):
    actions = [(1, 'take', 7), (3, 'take', 8), (5, 'put', 7)]
    database = {
        'v': video(
            annotations=[
                dict(segment=[t, t + 1], label='x', verb=verb, noun=noun)
                for t, verb, noun in actions
            ]
        )
    }
    given = {'classes': ['x', 'y']}
    verbs = load(database, given, label_fields=('verb',))
    assert verbs.classes == ('put', 'take') and verbs.videos['v'].labels.tolist() == [1, 1, 0]
    pairs = load(database, given, label_fields=('verb', 'noun'))
    assert pairs.classes == ('put,7', 'take,7', 'take,8')
    assert load(database, given).classes == ('x', 'y')
    with pytest.raises(AnnotationError, match='needs a string field "verb" and "object"'):
        load(database, label_fields=('verb', 'object'))


def test_thumos14_census(shared_data: Path):
    folder = shared_data / 'annotations' / 'thumos14'
    names = dict(ann_file=folder / 'thumos_14_anno.json', ignore_labels=('Ambiguous',))
    train = load_annotations(subset='training', **names)
    test = load_annotations(subset='validation', **names)
    assert (train.census.videos, train.census.instances) == (200, 3003)
    assert (test.census.videos, test.census.instances) == (211, 3325)
    assert len(test.classes) == 20
    divings = [test.classes.index(name) for name in ('CliffDiving', 'Diving')]
    cliff, diving = (
        {
            (v.video_id, *segment)
            for v in test.videos.values()
            for segment in v.segments[v.labels == label].tolist()
        }
        for label in divings
    )
    assert cliff and cliff <= diving, 'every CliffDiving is a Diving: neither is a duplicate'

    derived = load_annotations(folder / 'thumos14_413_derived.json', subset='validation')
    assert derived.census.videos == 213
    assert sum(derived.census.dropped.values()) == 26
    assert derived.census.videos_without_instances == 1


def in_units(factor, **changes):
    """Two videos whose instances are given in other units than seconds."""
    spans = [(1.0, 2.5), (4.0, 9.5)]
    items = [instance([start * factor, end * factor]) for start, end in spans]
    return {name: video(annotations=items, **changes) for name in 'vw'}


@pytest.mark.parametrize(
    'factor, fps, unit',
    [
        (1000, 25, 'They look like milliseconds: divide them by 1000'),
        (25, 25, 'They look like frames'),
        (30, None, 'They look like frames'),
        (1e6, 25, 'Convert them to seconds'),
    ],
)
def test_times_in_another_unit_are_refused_with_a_guess(load, factor, fps, unit):
    with pytest.raises(AnnotationError, match=rf'annotations\.json: 4 of 4 segments .*{unit}'):
        load(in_units(factor, fps=fps))


def test_a_few_segments_outside_are_only_counted(load):
    items = [instance([1, 2]), instance([3, 4]), instance([40, 41])]
    census = load({'v': video(annotations=items)}).census
    assert (census.instances, census.dropped['segments outside their video']) == (2, 1)


def test_a_file_without_subsets_says_so(load):
    database = {'v': video(subset=...)}
    with pytest.raises(AnnotationError, match=r'no video has a field "subset"; .*`subset=None`'):
        load(database, subset='validation')
    assert list(load(database).videos) == ['v']
    database['w'] = video()
    for subset in ('training', 'validation'):
        with pytest.raises(AnnotationError, match='video "v": field "subset" is missing, other'):
            load(database, subset=subset)
    assert list(load(database).videos) == ['v', 'w']
