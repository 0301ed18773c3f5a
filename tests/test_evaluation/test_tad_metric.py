"""The metrics as MMEngine's evaluator drives them, in one process and in three."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine import runner
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmtad_decomp.evaluation import ProposalMetric, TADMetric
from mmtad_decomp.evaluation.metrics import tad_metric, video_metric
from mmtad_decomp.evaluation.metrics.tad_metric import parse_tious
from mmtad_decomp.postprocessing import RawPredictions
from mmtad_decomp.structures import TADDataSample, TimeGrid
from mmtad_decomp.utils import OutputPathError

GROUPS = {'0.1:0.5': [0.1, 0.2, 0.3, 0.4, 0.5], '0.3:0.7': [0.3, 0.4, 0.5, 0.6, 0.7]}


@pytest.fixture
def ann_file(tmp_path):
    """Five videos, one of them without instances, with ten instances of two classes."""
    database = {
        f'v{i}': dict(
            subset='test',
            duration=100.0,
            annotations=[]
            if i == 4
            else [
                dict(segment=[10.0 * k + i, 10.0 * k + i + 6], label='ab'[k % 2])
                for k in range(1 + i)
            ],
        )
        for i in range(5)
    }
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(classes=['a', 'b'], database=database)))
    return str(path)


def sample(video_id, segments, scores, labels, window=(0, 100)):
    """What a detector returns for one window."""
    result = TADDataSample(
        metainfo=dict(video_id=video_id, window=window, duration=100.0, time_grid=TimeGrid(1.0))
    )
    result.pred_instances = InstanceData(
        segments=torch.tensor(segments, dtype=torch.float32).reshape(-1, 2),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.long),
    )
    return result


def perfect(metric, shift=0.0):
    return [
        sample(v.video_id, v.segments + shift, np.linspace(0.9, 0.5, len(v.labels)), v.labels)
        for v in metric.annotations.videos.values()
    ]


def evaluate(metric, samples):
    evaluator = Evaluator([metric])
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_perfect_detections_score_one(ann_file):
    metric = TADMetric(ann_file, 'test', classwise=True)
    result = evaluate(metric, perfect(metric))
    assert set(result) == {
        *('tad/mAP', 'tad/AP_a', 'tad/AP_b'),
        *(f'tad/mAP@{t}' for t in (0.3, 0.4, 0.5, 0.6, 0.7)),
    }
    assert all(value == 1 for value in result.values())


def test_instances_of_videos_without_a_window_are_missed(ann_file):
    metric = TADMetric(ann_file, 'test', classwise=True)
    result = evaluate(metric, perfect(metric)[2:])
    assert result['tad/AP_a'] == pytest.approx(4 / 6)
    assert result['tad/AP_b'] == pytest.approx(3 / 4)


def test_groups_of_thresholds(ann_file):
    metric = TADMetric(ann_file, 'test', tious=GROUPS)
    result = evaluate(metric, perfect(metric, shift=2.0))  # tIoU 4 / 8
    by_threshold = {t: result[f'tad/mAP@{t}'] for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}
    assert by_threshold == {0.1: 1, 0.2: 1, 0.3: 1, 0.4: 1, 0.5: 1, 0.6: 0, 0.7: 0}
    assert result['tad/mAP'] == result['tad/mAP_0.1:0.5'] == 1
    assert result['tad/mAP_0.3:0.7'] == pytest.approx(0.6)


def test_main_names_the_group_that_gives_map(ann_file):
    metric = TADMetric(ann_file, 'test', tious=GROUPS, main='0.3:0.7', classwise=True)
    result = evaluate(metric, perfect(metric, shift=2.0))
    assert result['tad/mAP'] == result['tad/mAP_0.3:0.7'] == pytest.approx(0.6)
    assert result['tad/AP_a'] == result['tad/AP_b'] == pytest.approx(0.6)
    with pytest.raises(ValueError, match=r"main='0\.5' is not a group of tious; they are \['0\.1"):
        TADMetric(ann_file, 'test', tious=GROUPS, main='0.5')
    with pytest.raises(ValueError, match='these have no names'):
        TADMetric(ann_file, 'test', main='0.5')


def test_metric_is_built_from_a_config(ann_file):
    post = dict(type='PostProcessor', nms=dict(type='nms', iou_thr=0.5), max_per_video=1)
    evaluator = Evaluator(dict(type='TADMetric', ann_file=ann_file, post_processor=post))
    metric = evaluator.metrics[0]
    evaluator.process(perfect(metric))
    result = evaluator.evaluate(5)
    # One detection for each of the four videos with instances, all of class a (6 instances).
    assert result['tad/mAP'] == pytest.approx((4 / 6 + 0) / 2)


def test_repeated_windows_count_once(ann_file):
    metric = TADMetric(ann_file, 'test', post_processor=None)
    windows = [
        sample('v0', [[0.0, 6.0]], [0.9], [0], (0, 50)),
        sample('v0', [[60.0, 66.0]], [0.8], [0], (50, 100)),
    ]
    metric.process(None, [w.to_dict() for w in [*windows, *windows]])
    merged = metric.merge_windows(metric.results)
    np.testing.assert_allclose(merged['v0'].scores, [0.9, 0.8])


def test_dump_is_a_submission_with_exact_scores(ann_file, tmp_path):
    path = tmp_path / 'out' / 'dump.json'
    metric = TADMetric(ann_file, 'test', dump_path=str(path))
    evaluate(metric, [sample('v1', [[1.0, 7.25]], [0.123456789], [1])])
    content = json.loads(path.read_text())
    assert set(content) == {'version', 'results', 'external_data'}
    score = float(np.float32(0.123456789))
    assert content['results'] == {'v1': [dict(segment=[1.0, 7.25], score=score, label='b')]}
    assert [p.name for p in path.parent.iterdir()] == ['dump.json']


def test_missing_silent_and_unknown_videos_are_reported(ann_file, monkeypatch):
    lines = []
    for module in (tad_metric, video_metric):
        monkeypatch.setattr(
            module,
            'print_log',
            lambda text, logger, level=logging.INFO: lines.append((level, text)),
        )
    metric = TADMetric(ann_file, 'test', exclude_videos=['v3'], post_processor=None)
    results = [
        sample('v0', [[0, 6], [99, 100.5]], [0.9, 0.8], [0, 0]),
        sample('v1', [], [], []),
        sample('elsewhere', [[0, 6]], [0.9], [0]),
        sample('v3', [[0, 6]], [0.9], [0]),
    ]
    evaluate(metric, results)
    warnings = ' / '.join(text for level, text in lines if level == logging.WARNING)
    assert '1 videos with detections are not annotated and left out: elsewhere' in warnings
    assert '2 annotated videos are not among the detections: v2, v4' in warnings
    assert '1 videos have no detection: v1' in warnings
    assert '1 detections reach out of their video' in warnings
    printed = ' '.join(text for level, text in lines if level == logging.INFO)
    assert '4 videos, 6 instances, 1 videos without instances, 1 videos excluded' in printed
    assert 'mAP' in printed and 'recall@1x' in printed


def test_a_class_without_instances_is_left_out(ann_file):
    metric = TADMetric(ann_file, 'test', classes=['a', 'b', 'c'], classwise=True)
    result = evaluate(metric, [*perfect(metric), sample('v4', [[0, 5]], [0.99], [2])])
    assert result['tad/mAP'] == 1 and 'tad/AP_c' not in result
    assert metric.names() == list(result)  # what `save_best` may name


def test_classes_of_the_data_set_must_agree_before_anything_is_tested(ann_file):
    """MMEngine's loops hand the data set's metainfo to the evaluator when they are built."""
    around = SimpleNamespace(visualizer=SimpleNamespace())
    evaluator = Evaluator([TADMetric(ann_file, 'test'), ProposalMetric(ann_file, subset='test')])
    for classes, how in ((['b', 'a'], "label 0 is 'a' and 'b'"), (['a'], '2 classes and 1')):
        message = rf'TADMetric \(.*annotations\.json\) and the data set have .*{how}; give both'
        with pytest.raises(ValueError, match=message):
            runner.TestLoop(around, loader_of(classes), evaluator)
        runner.TestLoop(around, loader_of(classes), Evaluator(evaluator.metrics[1]))
    loop = runner.TestLoop(around, loader_of(('a', 'b')), evaluator)
    assert loop.evaluator.metrics[0].dataset_meta == dict(classes=('a', 'b'))
    TADMetric(ann_file).dataset_meta = dict(name='no classes')


def loader_of(classes):
    return SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))


def test_a_sample_without_predictions_is_an_error(ann_file):
    with pytest.raises(KeyError, match='"v0" has no pred_instances'):
        TADMetric(ann_file).process(None, [dict(video_id='v0', window=(0, 1))])


def test_thresholds_are_the_decimals_that_they_stand_for():
    steps = np.linspace(0.5, 0.95, 10)
    assert steps[8] != 0.9
    union, groups = parse_tious({'steps': steps, 'alone': [0.9]})
    assert union.tolist() == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert groups['alone'].tolist() == [8] and groups['steps'].tolist() == list(range(10))


@pytest.mark.parametrize('tious', [[], [0.5, 1.5], {'x': []}, [0]])
def test_bad_thresholds_are_refused(tious):
    with pytest.raises(ValueError, match='tious must be numbers in'):
        parse_tious(tious)


def test_nan_names_its_video_with_and_without_a_post_processor(ann_file):
    for post_processor in (None, dict(type='PostProcessor')):
        metric = TADMetric(ann_file, 'test', post_processor=post_processor)
        with pytest.raises(ValueError, match=r'video "v1": .*1 of 2 candidates have NaN'):
            evaluate(metric, [sample('v1', [[0, 6], [1, 2]], [0.5, np.nan], [0, 0])])


def test_raw_predictions_outlive_a_candidate_that_cannot_be_merged(ann_file, tmp_path):
    path = str(tmp_path / 'raw.npz')
    metric = TADMetric(ann_file, 'test', raw_path=path)
    with pytest.raises(ValueError, match='have NaN or infinity'):
        evaluate(metric, [*perfect(metric)[1:], sample('v0', [[0, 6]], [np.nan], [0])])
    with RawPredictions(path) as raw:
        assert raw.video_ids == ('v0', 'v1', 'v2', 'v3', 'v4')
        kept = raw.read('v3').windows[0]
        np.testing.assert_array_equal(
            kept.segments, metric.annotations.videos['v3'].segments.astype(np.float32)
        )


def test_reversed_candidates_are_false_positives(ann_file):
    metric = TADMetric(ann_file, 'test', post_processor=None)
    backwards = sample('v4', [[6, 2]], [0.99], [0])
    expected = TADMetric(ann_file, 'test', post_processor=None)
    missed = sample('v4', [[90, 95]], [0.99], [0])
    result = evaluate(metric, [*perfect(metric)[:4], backwards])
    assert result == evaluate(expected, [*perfect(expected)[:4], missed])
    assert result['tad/mAP'] < 1


def test_excluded_videos_leave_both_sides(ann_file, tmp_path):
    """As if neither the annotations nor the detections had them; the ids come from a file."""
    (tmp_path / 'blocked.txt').write_text('# blocked\nv2\n\nv3\n')
    metric = TADMetric(ann_file, 'test', exclude_videos=str(tmp_path / 'blocked.txt'))
    bad = sample('v3', [[50.0, 80.0]], [1.0], [0])
    kept = [s for s in perfect(metric) if s.metainfo['video_id'] not in ('v2', 'v3')]
    assert evaluate(metric, [*kept, bad])['tad/mAP'] == 1
    assert evaluate(TADMetric(ann_file, 'test'), [*kept, bad])['tad/mAP'] < 1


def test_verbs_and_nouns(tmp_path):
    """Two actions with one verb: labels come from the fields that are asked for."""
    actions = [dict(segment=[0, 4], verb='cut', noun='onion')]
    actions.append(dict(segment=[6, 9], verb='cut', noun='leek'))
    database = {'v0': dict(subset='test', duration=10.0, annotations=actions)}
    path = tmp_path / 'epic.json'
    path.write_text(json.dumps(dict(database=database)))
    found = {'verb': [0, 0], 'noun': [1, 1]}
    for field, labels in found.items():
        metric = TADMetric(str(path), label_fields=(field,), post_processor=None)
        result = evaluate(metric, [sample('v0', [[0, 4], [6, 9]], [0.9, 0.8], labels)])
        assert result['tad/mAP'] == {'verb': 1, 'noun': 0.5}[field]


def test_proposals_need_no_labels(ann_file):
    metric = ProposalMetric(ann_file, subset='test', numbers=(1, 2), max_avg_proposals=2)
    labelled = evaluate(metric, perfect(metric))
    assert set(labelled) == {'proposals/AUC', 'proposals/AR@1', 'proposals/AR@2'}
    samples = [s.to_dict() for s in perfect(metric)]
    for item in samples:
        del item['pred_instances']['labels']
    metric.process(None, samples)
    assert metric.evaluate(5) == labelled
    # 2 proposals a video on average: the best 10 * 2 * 5 / 10 of all 10, so that all are found.
    assert labelled['proposals/AR@2'] == 1 and 0 < labelled['proposals/AR@1'] < 1
    with pytest.raises(ValueError, match=r'numbers must be multiples of max_avg_proposals / 100'):
        ProposalMetric(ann_file, numbers=(1, 250))


WORLD = 3


def _worker(rank, world_size, kind, ann_file, folder):
    """Rank 0 holds five windows, rank 1 two copies of rank 0's, as padding makes them; 2 none."""
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=world_size
    )
    metric = build(kind, ann_file, collect_dir=f'{folder}/collected')
    everything = perfect(metric, shift=1.5)
    mine = [everything, [everything[4], everything[0]], []][rank]
    metric.process(None, [s.to_dict() for s in mine])
    result = metric.evaluate(5)
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(result, file)
    torch.distributed.destroy_process_group()


def _sampling_worker(rank, world_size, kind, ann_file, folder):
    """MMEngine's sampler deals eleven windows to three processes, repeating one."""
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=world_size
    )
    metric = build(kind, ann_file)
    windows = many_windows()
    sampler = DefaultSampler(windows, shuffle=False, round_up=True)
    mine = list(sampler)
    metric.process(None, [windows[i].to_dict() for i in mine])
    result = dict(metric.evaluate(len(windows)), windows=len(mine))
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(result, file)
    torch.distributed.destroy_process_group()


def build(kind, ann_file, **kwargs):
    metric = dict(TADMetric=TADMetric, ProposalMetric=ProposalMetric)[kind]
    return metric(ann_file, subset='test', post_processor=None, **kwargs)


def many_windows():
    """Eleven windows of the five videos, one detection in each."""
    places = [(f'v{i % 5}', i // 5) for i in range(11)]
    return [
        sample(video, [[10.0 * k, 10.0 * k + 6]], [0.9 - 0.05 * k], [k % 2], (50 * k, 50 * k + 50))
        for video, k in places
    ]


def in_processes(worker, kind, ann_file, folder):
    arguments = (WORLD, kind, ann_file, str(folder))
    # Forked processes need not import everything again.
    torch.multiprocessing.start_processes(worker, arguments, nprocs=WORLD, start_method='fork')
    return [json.loads((folder / f'{rank}.json').read_text()) for rank in range(WORLD)]


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['TADMetric', 'ProposalMetric'])
def test_three_processes_equal_one(kind, ann_file, tmp_path):
    results = in_processes(_worker, kind, ann_file, tmp_path)
    metric = build(kind, ann_file)
    expected = evaluate(metric, perfect(metric, shift=1.5))
    assert results == [expected] * WORLD
    assert 0 < expected[f'{metric.prefix}/{"mAP" if kind == "TADMetric" else "AR@1"}'] < 1


@pytest.mark.slow
def test_padding_of_the_sampler_counts_once(ann_file, tmp_path):
    results = in_processes(_sampling_worker, 'TADMetric', ann_file, tmp_path)
    assert [result.pop('windows') for result in results] == [4, 4, 4], 'twelve, of eleven'
    expected = evaluate(build('TADMetric', ann_file), many_windows())
    assert results == [expected] * WORLD
    assert 0 < expected['tad/mAP'] < 1


@pytest.mark.parametrize('kind', [TADMetric, ProposalMetric])
def test_no_ground_truth_gives_no_number_and_says_so(kind, tmp_path, monkeypatch):
    database = {'v0': dict(subset='test', duration=100.0, annotations=[])}
    path = tmp_path / 'empty.json'
    path.write_text(json.dumps(dict(classes=['a', 'b'], database=database)))
    logged = []
    monkeypatch.setattr(video_metric, 'print_log', lambda text, **_: logged.append(text))
    metric = kind(str(path))
    results = evaluate(metric, [sample('v0', [[0, 10]], [0.5], [0])])
    assert results and all(np.isnan(value) for value in results.values())
    assert sum('there is no ground truth' in text for text in logged) == 1
    assert metric.names() == list(results)


@pytest.mark.parametrize('kind', [TADMetric, ProposalMetric])
def test_nan_scores_are_refused(kind, ann_file):
    with pytest.raises(ValueError, match=r'video "v0".* NaN'):
        evaluate(kind(ann_file), [sample('v0', [[0, 10]], [float('nan')], [0])])


def test_a_class_without_ground_truth_has_dashes(tmp_path, monkeypatch):
    instance = dict(segment=[0, 10], label='a')
    database = {'v0': dict(subset='test', duration=100.0, annotations=[instance])}
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(classes=['a', 'b'], database=database)))
    logged = []
    monkeypatch.setattr(tad_metric, 'print_log', lambda text, **_: logged.append(text))
    metric = TADMetric(str(path), classwise=True, tious=(0.5, 0.7))
    results = evaluate(metric, [sample('v0', [[0, 10], [0, 10]], [0.5, 0.4], [0, 1])])
    (table,) = logged
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()[2:]}
    assert rows['b'] == ['-', '-', '-'] and rows['a'] == rows['mAP'] == ['100.00'] * 3
    assert results['tad/mAP'] == 1 and 'tad/AP_b' not in results


@pytest.mark.parametrize(
    ('option', 'name', 'writer'),
    [
        ('dump_path', 'found.json', 'write_submission'),
        ('raw_path', 'found.npz', 'write_raw_predictions'),
    ],
)
def test_the_table_comes_before_a_file_that_cannot_be_written(
    option, name, writer, ann_file, tmp_path, monkeypatch
):
    def full_disk(*args):
        raise OSError(28, 'No space left on device')

    logged = []
    monkeypatch.setattr(tad_metric, 'print_log', lambda text, **_: logged.append(text))
    monkeypatch.setattr(video_metric, writer, full_disk)
    metric = TADMetric(ann_file, **{option: str(tmp_path / name)})
    with pytest.raises(OSError, match='No space left'):
        evaluate(metric, [sample('v0', [[0, 6]], [0.5], [0])])
    assert 'recall@1x' in logged[0]


@pytest.mark.parametrize('name', ['dump_path', 'raw_path'])
def test_outputs_that_cannot_be_written_are_refused_at_once(name, ann_file, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputPathError, match=rf'TADMetric\.{name} .*is no folder'):
        TADMetric(ann_file, **{name: str(tmp_path / 'file' / 'found.npz')})
