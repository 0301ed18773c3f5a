"""The command that evaluates a submission."""

import json

import pytest

from tools.analysis_tools.evaluate import main


@pytest.fixture
def files(tmp_path):
    """Four videos with two classes; the detections are exact but for what the tests change."""
    database = {
        f'v{i}': dict(
            subset='training' if i == 3 else 'validation',
            duration=30.0,
            annotations=[
                dict(segment=[1, 6], label='run', verb='move', noun=1),
                dict(segment=[10, 16], label='jump', verb='move', noun=2),
            ],
        )
        for i in range(4)
    }
    results = {
        name: [
            dict(segment=a['segment'], score=0.9 - 0.1 * i, **{k: a[k] for k in LABELS})
            for i, a in enumerate(video['annotations'])
        ]
        for name, video in database.items()
        if name != 'v3'
    }
    return tmp_path, database, results


LABELS = ('label', 'verb', 'noun')


def run(files, *options):
    folder, database, results = files
    (folder / 'ann.json').write_text(json.dumps(dict(database=database)))
    (folder / 'sub.json').write_text(json.dumps(dict(results=results)))
    return main([str(folder / 'sub.json'), str(folder / 'ann.json'), *options])


def test_exact_detections(files, capsys):
    out = files[0] / 'out' / 'map.json'
    content = run(files, '--subset', 'validation', '--classwise', '--proposals', '--out', str(out))
    result = content['results']['label']
    assert result['average_mAP'] == 1 and result['mAP']['0.5'] == 1
    assert result['classes']['run'] == dict(
        instances=3, AP=dict.fromkeys(('0.3', '0.4', '0.5', '0.6', '0.7'), 1.0), average=1.0
    )
    assert result['AR@AN']['100'] == 1 and result['recall']['1x']['0.7'] == 1
    assert result['warnings'] == [] and result['census'] == '3 videos, 6 instances'
    assert json.loads(out.read_text()) == content
    assert [path.name for path in out.parent.iterdir()] == ['map.json'], 'no temporary file'
    printed = capsys.readouterr().out
    for word in ('ground truth: 3 videos, 6 instances', 'run ', 'mAP', 'recall@5x', 'AR@100'):
        assert word in printed


def test_odd_things_are_counted(files, capsys):
    _, _, results = files
    results['v0'][0]['segment'] = [6, 1]
    results['v0'].append(dict(segment=[25, 40], score=0.1, label='run'))
    results['v0'].append(dict(segment=[25, 28], score=0.1, label='Ambiguous'))
    results['v1'] = []
    results['elsewhere'] = [dict(segment=[1, 6], score=1, label='run')]
    content = run(files, '--subset', 'validation', '--ignore-labels', 'Ambiguous')
    warnings = content['results']['label']['warnings']
    assert warnings == [
        '1 videos with detections are not annotated and left out: elsewhere',
        '1 videos have no detection: v1',
        '1 detections reach out of their video; they count whole',
        '1 detections have no length: false positives',
        '1 detections left out, whose labels are ignored: Ambiguous (1)',
        '1 detections end before they start; they count as false positives',
    ]
    printed = capsys.readouterr().out
    assert all(f'warning: {line}' in printed for line in warnings)
    # Of three runs only v2's is found, and v0's reversed one, of equal score, comes before it.
    assert content['results']['label']['classes']['run']['AP']['0.5'] == pytest.approx(0.5 / 3)


def test_blocked_videos_leave_both_sides(files):
    folder, _, results = files
    results['v0'] = [dict(segment=[20, 29], score=1.0, label='run')]
    assert run(files, '--subset', 'validation')['results']['label']['average_mAP'] < 1
    (folder / 'blocked.json').write_text('["v0", "v77"]')
    for value in (['v0'], [str(folder / 'blocked.json')]):
        content = run(files, '--subset', 'validation', '--exclude-videos', *value)
        result = content['results']['label']
        assert result['average_mAP'] == 1 and result['warnings'] == []
        assert result['census'] == '2 videos, 4 instances, 1 videos excluded'


def test_verbs_nouns_and_pairs(files):
    _, _, results = files
    for items in results.values():
        items[1]['noun'] = 1  # all second nouns are wrong, the verbs still right
    options = ('--subset', 'validation', '--labels', 'verb', 'noun', 'verb,noun')
    found = run(files, *options)['results']
    assert {name: sorted(r['classes']) for name, r in found.items()} == {
        'verb': ['move'],
        'noun': ['1', '2'],
        'verb,noun': ['move,1', 'move,2'],
    }
    assert found['verb']['average_mAP'] == 1
    assert found['noun']['mAP'] == found['verb,noun']['mAP']
    assert found['noun']['classes']['2']['average'] == 0
    for items in results.values():
        for item in items:
            item['label'] = item.pop('verb')
    found = run(files, '--subset', 'validation', '--labels', 'verb:label')['results']
    assert found['verb']['average_mAP'] == 1


def test_several_labels_of_one_segment(files):
    """As in MultiTHUMOS: every label of a segment is an instance of its own."""
    _, database, results = files
    for name in ('v0', 'v1', 'v2'):
        database[name]['annotations'].append(dict(segment=[1, 6], label='stand'))
    content = run(files, '--subset', 'validation')['results']['label']
    assert content['average_mAP'] == pytest.approx(2 / 3)
    for items in results.values():
        items.append(dict(segment=[1, 6], score=0.5, label='stand'))
    assert run(files, '--subset', 'validation')['results']['label']['average_mAP'] == 1


def test_labels_that_are_no_classes(files):
    _, _, results = files
    results['v0'].append(dict(segment=[1, 6], score=1.0, label='swim'))
    with pytest.raises(ValueError, match=r'.*video "v0", detection 2.*is \'swim\''):
        run(files)
    content = run(files, '--subset', 'validation', '--drop-unknown-labels')['results']['label']
    assert content['average_mAP'] == 1
    assert content['warnings'] == ['1 detections left out, whose labels are not classes: swim (1)']


def test_nothing_in_common_is_an_error_and_no_zero(files):
    _, database, results = files
    renamed = {f'v_{name}': items for name, items in results.items()}
    with pytest.raises(ValueError, match=r'none of its 6 detections is in one of the 4 annotated'):
        run((files[0], database, renamed))
    for results in ({}, {name: [] for name in database}):
        with pytest.raises(ValueError, match='has no detections; name the file of a test that f'):
            run((files[0], database, results))
    results = {'v0': [dict(segment=[1, 6], score=0.5, label='swim')]}
    with pytest.raises(ValueError, match=r'has no detections.*; 1 .* are not classes: swim \(1\)'):
        run((files[0], database, results), '--drop-unknown-labels')
    for video in database.values():
        video['annotations'] = []


def test_no_ground_truth_gives_no_number_and_says_so(files):
    for video in files[1].values():
        video['annotations'] = []
    content = run(files, '--classes', 'run', 'jump', '--proposals')['results']['label']
    assert content['average_mAP'] is None and content['AUC'] is None
    assert any('there is no ground truth' in line for line in content['warnings'])


def test_files_that_are_missing_or_empty(files):
    folder = files[0]
    run(files)
    empty = folder / 'empty.json'
    empty.write_text('')
    for pair in ((empty, folder / 'ann.json'), (folder / 'sub.json', empty)):
        with pytest.raises(ValueError, match=r'empty\.json is not valid JSON'):
            main([str(path) for path in pair])
    with pytest.raises(ValueError, match=r'no\.json does not exist'):
        main([str(folder / 'no.json'), str(folder / 'ann.json')])
    with pytest.raises(ValueError, match=r'no\.json does not exist'):
        main([str(folder / 'sub.json'), str(folder / 'no.json')])


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('0.5', ['0.5']), ('0.5:0.6:0.05', ['0.5', '0.55', '0.6']), ('1:1:0.1', ['1'])],
)
def test_thresholds(files, text, expected):
    assert list(run(files, '--tiou', text)['results']['label']['mAP']) == expected


@pytest.mark.parametrize('text', ['x', '0.5:0.6', '0.5:0.6:0', '0.5:0.62:0.05', '0.9:0.5:0.1'])
def test_thresholds_that_are_refused(files, text, capsys):
    with pytest.raises(SystemExit):
        run(files, '--tiou', text)
    assert 'neither a threshold nor first:last:step' in capsys.readouterr().err


def test_thresholds_out_of_range(files):
    with pytest.raises(ValueError, match=r'tious must be .* in \(0, 1\]'):
        run(files, '--tiou', '0', '0.5')
