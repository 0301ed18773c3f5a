"""tools/analysis_tools/diagnose.py on a small submission."""

import json

import pytest
from tool_runner import run_tool

from mmtad_decomp.evaluation.diagnosis import CHARACTERISTICS, PRESETS
from mmtad_decomp.evaluation.diagnosis.false_positives import LABEL_RULES
from tools.analysis_tools import diagnose

FILES = {
    'diagnosis.json',
    'diagnosis.txt',
    'false_positives.png',
    'sensitivity.png',
    'false_negatives.png',
}


@pytest.fixture
def files(tmp_path):
    """Annotations of three videos, and detections of two of them and of a stranger."""

    def video(subset, *instances):
        items = [dict(segment=[s, e], label=label) for s, e, label in instances]
        return dict(subset=subset, duration=50.0, annotations=items)

    database = dict(
        a=video('test', (0, 10, 'jump'), (20, 24, 'run')),
        b=video('test', (30, 32, 'jump')),
        c=video('train', (30, 32, 'jump')),
        d=video('test'),
    )
    content = dict(version='small', classes=['jump', 'run', 'fly'], database=database)
    (tmp_path / 'annotations.json').write_text(json.dumps(content))

    def found(start, end, score, label):
        return dict(segment=[start, end], score=score, label=label)

    results = dict(
        a=[found(0, 10, 0.9, 'jump'), found(0, 9, 0.8, 'jump'), found(20, 24, 0.7, 'jump')],
        d=[found(0, 10, 0.5, 'run'), found(0, 10, 0.4, 'fly')],
        stranger=[found(0, 10, 1.0, 'jump')],
    )
    (tmp_path / 'submission.json').write_text(json.dumps(dict(results=results)))
    return [str(tmp_path / 'submission.json'), str(tmp_path / 'annotations.json')]


def flags(tmp_path, *more):
    return ['--subset', 'test', '--out-dir', str(tmp_path / 'out'), '--tiou', '0.5', *more]


def test_everything_is_written(files, tmp_path, capsys):
    edges = ['--length-edges', '0', '3', 'inf', '--coverage-edges', '0', '0.1', '1']
    content = diagnose.main([*files, *flags(tmp_path, *edges)])
    assert {path.name for path in (tmp_path / 'out').iterdir()} == FILES
    assert json.loads((tmp_path / 'out/diagnosis.json').read_text()) == content
    text = capsys.readouterr().out
    assert (tmp_path / 'out/diagnosis.txt').read_text().strip() in text
    assert 'warning: 1 videos with detections are not annotated and left out: stranger' in text
    assert 'warning: 1 annotated videos are not among the detections: b' in text
    assert len(content['warnings']) == 2
    assert content['num_ground_truths'] == 3 and content['num_predictions'] == 5
    positives = content['false_positives']
    by_name = dict(zip(positives['categories'], zip(*(c[0] for c in positives['counts']))))
    # jump has 2 instances, so 1G are its two best; run has 1, whose only detection is in video d.
    assert by_name['true_positive'][:2] == (1, 0)
    assert by_name['double_detection'][:2] == (1, 0)
    assert by_name['wrong_label'][:2] == (0, 1)
    assert by_name['background'][:2] == (1, 0)
    assert positives['left_out'] == 1
    assert content['false_negatives']['missed'] == pytest.approx([2 / 3])


def test_a_bucket_that_holds_everything_is_named(files, tmp_path, capsys):
    content = diagnose.main([*files, *flags(tmp_path)])
    line = (
        'all 3 instances are in one bucket of length (2 to 10), so it tells nothing; set narrower'
    )
    assert f'{line} --length-edges' in content['warnings']
    assert f'warning: {line}' in capsys.readouterr().out
    assert not any('instances-edges' in text for text in content['warnings'])


def test_options_reach_the_result(files, tmp_path):
    more = ['--preset', 'thumos14', '--length-edges', '0', '5', 'inf', '--normalizer', '7']
    more += ['--exclude-videos', 'b', 'stranger', '--format', 'svg', '--max-multiple', '2']
    content = diagnose.main([*files, *flags(tmp_path, *more)])
    assert content['sensitivity']['length']['edges'] == [0, 5, 'inf']
    assert content['sensitivity']['length']['instances'] == [1, 1]
    assert content['sensitivity']['coverage']['edges'][1] == 0.02
    assert content['options']['normalizer'] == 7 and content['warnings'] == []
    assert len(content['false_positives']['counts']) == 2
    assert (tmp_path / 'out/sensitivity.svg').exists()


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--subset', 'nowhere'], "no video is of subset 'nowhere'"),
        (['--classes', 'jump', 'run'], 'video "d", detection 1: field "label" is \'fly\''),
        (['--subset', 'train'], 'none of its 6 detections is in one of the 1 annotated videos'),
        (['--length-edges', '3', '1'], 'two or more rising numbers'),
        (['--length-edges', '0', '5'], 'length: an instance has 10, outside the bucket edges'),
        (['--tiou', '2'], r'tious must be one or more numbers in \(0, 1\]'),
    ],
)
def test_mistakes_are_named(files, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        diagnose.main([*files, *flags(tmp_path, *more)])
    assert not (tmp_path / 'out').exists()


def test_runs_in_any_folder(files, tmp_path, monkeypatch):
    monkeypatch.chdir('/')
    done = run_tool(diagnose.main, *files, *flags(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'Gain of removing an error' in done.stdout


def test_choices_are_those_of_the_package():
    assert tuple(sorted(PRESETS)) == diagnose.PRESETS
    assert diagnose.LABEL_RULES == LABEL_RULES
    assert diagnose.CHARACTERISTICS == CHARACTERISTICS
