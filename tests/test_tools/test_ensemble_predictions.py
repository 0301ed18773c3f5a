"""The command that combines raw predictions, from the test that writes them to the submission."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmtad_decomp.postprocessing import ClassifierScoresError, RawPredictionError, RawPredictions
from mmtad_decomp.postprocessing.ensemble import METHODS
from mmtad_decomp.structures import TADDataSample, TimeGrid
from tools.analysis_tools import ensemble_predictions

CONFIG = """
test_evaluator = [
    dict(type='SomethingElse'),
    dict(
        type='TADMetric',
        ann_file={ann_file!r},
        subset='test',
        classes=('b', 'a'),
        ignore_labels=('Ambiguous',),
        post_processor={post_processor!r},
    ),
]
"""
SPANS = ((0, 400), (300, 700), (600, 1000))
FPS = 10.0
POST_PROCESSORS = {
    'actionformer': dict(
        type='PostProcessor', min_length=0.05, voting_iou=0.7, nms=dict(type='soft_nms', sigma=0.5)
    ),
    'joined': dict(
        type='PostProcessor', join_tolerance=0.5, nms=dict(type='nms', iou_thr=0.5), score_thr=0.2
    ),
    'classified': dict(
        type='PostProcessor',
        nms=dict(type='soft_nms', class_aware=False),
        classifier=dict(type='ExternalClassifier', path='scores.json', combine='sqrt'),
        max_proposals=30,
    ),
}


@pytest.fixture
def ann_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = dict(v1='a', v2='b', v3='Ambiguous')
    database = {
        video: dict(
            subset='test', duration=99.7, annotations=[dict(segment=[10, 20], label=label)]
        )
        for video, label in labels.items()
    }
    (tmp_path / 'annotations.json').write_text(json.dumps(dict(database=database)))
    scores = {video: dict(a=0.3, b=0.7) for video in labels}
    (tmp_path / 'scores.json').write_text(json.dumps(scores))
    return str(tmp_path / 'annotations.json')


def windows(seed):
    """What a detector would return for three windows of each of three videos."""
    rng = np.random.default_rng(seed)
    for video in ('v3', 'v1', 'v2'):
        for span in SPANS:
            start = rng.uniform(span[0], span[1], 60) / FPS
            end = np.minimum(start + rng.uniform(0, 20, 60), span[1] / FPS)
            sample = TADDataSample(
                metainfo=dict(video_id=video, window=span, time_grid=TimeGrid(FPS, start=span[0]))
            )
            sample.pred_instances = InstanceData(
                segments=torch.from_numpy(np.stack([start, end], axis=1)),
                scores=torch.from_numpy(rng.uniform(0, 1, 60).astype(np.float32)),
                labels=torch.from_numpy(rng.integers(0, 2, 60)),
            )
            yield sample


def run_test(config, seed, name):
    """Test as the Runner does; the metric's own submission and its raw predictions."""
    settings = dict(ensemble_predictions.find_metric(config))
    evaluator = Evaluator([dict(settings, dump_path=f'{name}.json', raw_path=f'{name}.npz')])
    samples = list(windows(seed))
    evaluator.process(samples)
    evaluator.evaluate(len(samples))


def write_config(ann_file, post_processor):
    with open('config.py', 'w') as file:
        file.write(CONFIG.format(ann_file=ann_file, post_processor=post_processor))
    return 'config.py'


def results_of(path):
    with open(path) as file:
        return json.load(file)['results']


@pytest.mark.parametrize('name', POST_PROCESSORS)
def test_fusing_one_file_reproduces_the_submission(ann_file, tmp_path, name):
    config = write_config(ann_file, POST_PROCESSORS[name])
    run_test(config, 0, 'own')
    ensemble_predictions.main(
        ['own.npz', '--config', config, '--out', 'again.json', '--weights', '3']
    )
    own = (tmp_path / 'own.json').read_bytes()
    assert own == (tmp_path / 'again.json').read_bytes()
    results = results_of('own.json')
    assert list(results) == ['v1', 'v2', 'v3'] and all(len(r) > 10 for r in results.values())
    with RawPredictions('own.npz') as raw:
        assert raw.classes == ('b', 'a')
        np.testing.assert_allclose(raw.read('v1').spans, np.array(SPANS) / FPS)


def test_two_models_and_changed_options(ann_file):
    config = write_config(ann_file, POST_PROCESSORS['actionformer'])
    for seed in (0, 1):
        run_test(config, seed, f'model{seed}')
    common = ['model0.npz', 'model1.npz', '--config', config, '--out', 'both.json']
    ensemble_predictions.main([*common, '--weights', '1', '0.5'])
    both = results_of('both.json')['v1']
    alone = [results_of(f'model{seed}.json')['v1'] for seed in (0, 1)]
    best = max(alone[0][0]['score'], alone[1][0]['score'] / 2)
    assert both[0]['score'] == best
    few = ['--post-processor', 'max_per_video=3', 'nms.sigma=0.1']
    ensemble_predictions.main([*common, *few, '--method', 'weighted', '--iou-thr', '0.4'])
    assert all(len(rows) == 3 for rows in results_of('both.json').values())


def test_proposals_with_the_classes_of_a_classifier(ann_file):
    proposals = {
        f'v{i}': [dict(segment=[10, 20], score=0.64), dict(segment=[30, 31], score=0.25)]
        for i in (1, 2, 3)
    }
    with open('bmn.json', 'w') as file:
        json.dump(dict(version='1.3', results=proposals, external_data={}), file)
    config = write_config(ann_file, POST_PROCESSORS['classified'])
    command = ['bmn.json', '--config', config, '--out', 'out.json']
    ensemble_predictions.main([*command, '--post-processor', 'classifier.combine=multiply'])
    found = [(row['label'], row['segment'], row['score']) for row in results_of('out.json')['v1']]
    assert found == [
        ('b', [10, 20], 0.64 * 0.7),
        ('a', [10, 20], 0.64 * 0.3),
        ('b', [30, 31], 0.25 * 0.7),
        ('a', [30, 31], 0.25 * 0.3),
    ]


def test_proposals_without_a_config(ann_file):
    with open('bmn.json', 'w') as file:
        json.dump(dict(results=dict(v1=[dict(segment=[1, 2], score=0.5)])), file)
    options = ['score_thr=0', 'nms=None', 'classifier.type=ExternalClassifier']
    options += ['classifier.path=scores.json', 'classifier.combine=multiply', 'classifier.top_n=1']
    with open('scores.json', 'w') as file:
        json.dump(dict(v1=dict(a=0.5, b=0.25, Ambiguous=0)), file)
    command = ['bmn.json', '--ann-file', ann_file, '--subset', 'test', '--out', 'out.json']
    with pytest.raises(RawPredictionError, match=r'bmn\.json has no labels.* classifier\.type='):
        ensemble_predictions.main(command)
    assert not Path('out.json').exists()
    ensemble_predictions.main([*command, '--post-processor', *options])
    assert results_of('out.json') == dict(v1=[dict(segment=[1, 2], score=0.25, label='a')])


def test_without_config_the_default_post_processor_is_used(ann_file):
    config = write_config(ann_file, dict(type='PostProcessor'))
    run_test(config, 0, 'own')
    ensemble_predictions.main(['own.npz', '--out', 'again.json'])
    assert results_of('own.json') == results_of('again.json')
    command = ['own.json', 'own.npz', '--out', 'x.json', '--ann-file', ann_file]
    with pytest.raises(ValueError, match='different classes'):
        ensemble_predictions.main([*command, '--subset', 'test'])


def test_a_test_with_unsuitable_class_scores_does_not_start(ann_file):
    config = write_config(ann_file, POST_PROCESSORS['classified'])
    with open('scores.json', 'w') as file:
        json.dump(dict(v1=dict(a=1, b=1), v2=dict(a=1, b=1)), file)
    with pytest.raises(ClassifierScoresError, match=r'no scores of 1 of 3 videos \(v3\)'):
        Evaluator([ensemble_predictions.find_metric(config)])


@pytest.mark.parametrize(
    ('post_processor', 'arguments', 'message'),
    [
        (None, [], 'post_processor=None'),
        (dict(type='PostProcessor'), ['--post-processor', 'sigma=1'], r"no options \['sigma'\]"),
        (dict(type='PostProcessor'), ['--weights', '1', '2'], 'weights must be 1 numbers'),
        (dict(type='PostProcessor'), ['--weights', '0'], 'weights must be 1 numbers'),
    ],
)
def test_bad_options(ann_file, post_processor, arguments, message):
    run_test(write_config(ann_file, dict(type='PostProcessor')), 0, 'own')
    config = write_config(ann_file, post_processor)
    with pytest.raises(ValueError, match=message):
        ensemble_predictions.main(['own.npz', '--config', config, '--out', 'x.json', *arguments])


def test_json_needs_annotations(ann_file):
    with pytest.raises(ValueError, match='set --config or --ann-file'):
        ensemble_predictions.main(['bmn.json', '--out', 'x.json'])
    with open('bare.py', 'w') as file:
        file.write("test_evaluator = dict(type='Other')")
    with pytest.raises(ValueError, match='has no TADMetric'):
        ensemble_predictions.find_metric('bare.py')


def test_methods_are_those_of_the_package():
    assert ensemble_predictions.METHODS == METHODS


def test_verbs_of_an_annotation_file(tmp_path):
    video = dict(duration=50.0, annotations=[dict(segment=[1, 2], verb='cut', noun=4)])
    (tmp_path / 'epic.json').write_text(json.dumps(dict(database=dict(v=video))))
    found = [dict(segment=[1, 2], score=0.5, label='cut')]
    (tmp_path / 'found.json').write_text(json.dumps(dict(results=dict(v=found))))
    out = tmp_path / 'out.json'
    files = [tmp_path / 'found.json', '--ann-file', tmp_path / 'epic.json', '--out', out]
    ensemble_predictions.main([*map(str, files), '--labels', 'verb:label'])
    assert results_of(out) == dict(v=found)
