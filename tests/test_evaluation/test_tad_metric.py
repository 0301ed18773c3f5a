"""TADMetric as MMEngine's evaluator drives it, in one process and in two."""

import json
import logging

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmtad_decomp.evaluation import TADMetric
from mmtad_decomp.evaluation.metrics import tad_metric
from mmtad_decomp.evaluation.metrics.tad_metric import parse_tious
from mmtad_decomp.structures import TADDataSample, TimeGrid

GROUPS = {'0.1:0.5': [0.1, 0.2, 0.3, 0.4, 0.5], '0.3:0.7': [0.3, 0.4, 0.5, 0.6, 0.7]}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


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


def test_groups_of_thresholds(ann_file):
    metric = TADMetric(ann_file, 'test', tious=GROUPS)
    result = evaluate(metric, perfect(metric, shift=2.0))  # tIoU 4 / 8
    by_threshold = {t: result[f'tad/mAP@{t}'] for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}
    assert by_threshold == {0.1: 1, 0.2: 1, 0.3: 1, 0.4: 1, 0.5: 1, 0.6: 0, 0.7: 0}
    assert result['tad/mAP'] == result['tad/mAP_0.1:0.5'] == 1
    assert result['tad/mAP_0.3:0.7'] == pytest.approx(0.6)


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
    merged = metric._merge(metric.results)
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
    monkeypatch.setattr(
        tad_metric,
        'print_log',
        lambda text, logger, level=logging.INFO: lines.append((level, text)),
    )
    metric = TADMetric(ann_file, 'test', exclude_videos=['v3'])
    results = [
        sample('v0', [[0, 6]], [0.9], [0]),
        sample('v1', [], [], []),
        sample('elsewhere', [[0, 6]], [0.9], [0]),
        sample('v3', [[0, 6]], [0.9], [0]),
    ]
    evaluate(metric, results)
    warnings = ' / '.join(text for level, text in lines if level == logging.WARNING)
    assert '1 tested videos are unknown' in warnings and ': elsewhere' in warnings
    assert '2 annotated videos were not tested' in warnings and ': v2, v4' in warnings
    assert '1 tested videos have no detection' in warnings and ': v1' in warnings
    printed = ' '.join(text for level, text in lines if level == logging.INFO)
    assert '4 videos, 6 instances, 1 videos without instances, 1 videos excluded' in printed
    assert 'mAP' in printed and 'recall@1x' in printed


def test_a_class_without_instances_is_left_out(ann_file):
    metric = TADMetric(ann_file, 'test', classes=['a', 'b', 'c'], classwise=True)
    result = evaluate(metric, [*perfect(metric), sample('v4', [[0, 5]], [0.99], [2])])
    assert result['tad/mAP'] == 1 and 'tad/AP_c' not in result


def test_classes_of_the_data_set_must_agree(ann_file):
    metric = TADMetric(ann_file, 'test')
    metric.dataset_meta = dict(classes=('b', 'a'))
    with pytest.raises(ValueError, match=r"classes \['a', 'b'\] .* the data set has \['b', 'a'\]"):
        evaluate(metric, perfect(metric))


def test_a_sample_without_predictions_is_an_error(ann_file):
    with pytest.raises(KeyError, match='"v0" has no pred_instances'):
        TADMetric(ann_file).process(None, [dict(video_id='v0', window=(0, 1))])


@pytest.mark.parametrize('tious', [[], [0.5, 1.5], {'x': []}, [0]])
def test_bad_thresholds_are_refused(tious):
    with pytest.raises(ValueError, match='tious must be numbers in'):
        parse_tious(tious)


def _worker(rank, world_size, ann_file, folder):
    """Rank 0 holds four windows, rank 1 two, of which one is a padded copy of rank 0's."""
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=world_size
    )
    metric = TADMetric(ann_file, 'test', post_processor=None, collect_dir=f'{folder}/collected')
    everything = perfect(metric, shift=1.5)
    mine = everything[:4] if rank == 0 else [everything[4], everything[0]]
    metric.process(None, [s.to_dict() for s in mine])
    result = metric.evaluate(5)
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(result, file)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(ann_file, tmp_path):
    torch.multiprocessing.spawn(_worker, (2, ann_file, str(tmp_path)), nprocs=2)
    results = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    metric = TADMetric(ann_file, 'test', post_processor=None)
    expected = evaluate(metric, perfect(metric, shift=1.5))
    assert results[0] == results[1] == expected
    assert 0 < expected['tad/mAP'] < 1
