"""BoundaryProposalMetric against MMAction2's own pairing of starts and ends."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from config_helpers import CONFIGS, load
from mmaction.evaluation.metrics import ANetMetric
from mmaction.models.localizers.utils import generate_candidate_proposals

from mmtad_decomp.evaluation.metrics import BoundaryProposalMetric, LocalizerProposalMetric
from mmtad_decomp.evaluation.metrics.boundary_proposal_metric import boundary_proposals

STEPS = 20


def scores(seed):
    rng = np.random.default_rng(seed)
    edges = np.arange(STEPS + 1) / STEPS
    return np.column_stack([rng.uniform(0, 1, (STEPS, 3)), edges[:-1], edges[1:]])


def video(segments=((2.0, 8.0),)):
    annotations = [dict(segment=list(s), label='a') for s in segments]
    return dict(
        duration_second=20.0, duration_frame=320, feature_frame=320, annotations=annotations
    )


@pytest.mark.parametrize('seed', range(5))
def test_pairs_are_those_of_mmaction2(seed, tmp_path):
    table = scores(seed)
    np.savetxt(tmp_path / 'v_a.csv', table, delimiter=',', header='x', comments='')
    info = dict(video(), video_name='v_a')
    expected = generate_candidate_proposals([0], [info], str(tmp_path), STEPS, 0.5)['v_a']
    found = boundary_proposals(table, 0.5)
    order = np.lexsort(found.T)
    expected = expected[:, [0, 1, 4]]
    np.testing.assert_allclose(found[order], expected[np.lexsort(expected.T)], atol=1e-5)


def test_sharp_boundaries_are_recalled(tmp_path):
    table = scores(0)
    table[:, 1:3] = 0.01
    table[2, 1] = table[8, 2] = 1.0
    middles = table[:, 3:5].mean(axis=1) * 20
    path = tmp_path / 'anno.json'
    path.write_text(json.dumps(dict(v_a=video([(middles[2], middles[8])]))))
    metric = BoundaryProposalMetric(str(path))
    metric.process({}, [('v_a', table)])
    results = metric.evaluate(1)
    assert results['AR@100'] == 1.0 and results['auc'] > 90
    with pytest.raises(KeyError, match=r'v_b.*ann_file'):
        metric.process({}, [('v_b', table)])


@pytest.mark.parametrize('names', [['v_0', 'v_1', 'v_2'], ['A_clip', 'B_clip', 'C_clip']])
def test_names_of_videos_change_nothing(tmp_path, names):
    """Only the last video is right, so names that fall together would give it to all."""
    instances = [(2.0 + i, 8.0 + i) for i in range(3)]
    database = {name: video([span]) for name, span in zip(names, instances)}
    database['nothing'] = video([])
    path = tmp_path / 'anno.json'
    path.write_text(json.dumps(database))
    metric = BoundaryProposalMetric(str(path))
    for i, name in enumerate([*names, 'nothing']):
        table = scores(i)
        table[:, 1:3] = 0.01
        start = 2 + i if i == 2 else 12
        table[start, 1] = table[start + 6, 2] = 1.0
        metric.process({}, [(name, table)])
    results = metric.evaluate(4)
    assert results['AR@1'] == pytest.approx(0.9 / 3, abs=0.1)
    assert results['AR@1'] < 0.5


def test_no_instances_give_no_number(tmp_path):
    path = tmp_path / 'anno.json'
    path.write_text(json.dumps(dict(a=video([]))))
    metric = BoundaryProposalMetric(str(path))
    metric.process({}, [('a', scores(0))])
    assert all(np.isnan(value) for value in metric.evaluate(1).values())


def test_nan_scores_are_refused(tmp_path):
    path = tmp_path / 'anno.json'
    path.write_text(json.dumps(dict(a=video())))
    table = scores(0)
    table[3, 1] = np.nan
    with pytest.raises(ValueError, match='video "a": its scores have NaN'):
        BoundaryProposalMetric(str(path)).process({}, [('a', table)])


def test_localizer_metric_equals_mmaction2s(tmp_path):
    """On names that ANetMetric can tell apart."""
    rng = np.random.default_rng(0)
    samples, found = [], []
    for i in range(6):
        start = np.sort(rng.uniform(0, 80, 4))
        annotations = [dict(segment=[s, s + 15], label='a') for s in start]
        metainfo = dict(video_name=f'v_{i}', annotations=annotations)
        samples.append(SimpleNamespace(metainfo=metainfo))
        proposals = [
            dict(segment=[s + rng.normal(), s + 15 + 2 * rng.normal()], score=rng.uniform())
            for s in np.repeat(start, 10)
        ]
        found.append(dict(video_name=f'v_{i}', proposal_list=proposals))
    values = []
    for kind in (ANetMetric, LocalizerProposalMetric):
        dump = dict(out=str(tmp_path / 'results.json'), output_format='json')
        metric = kind(metric_type='AR@AN', dump_config=dump)
        metric.process(dict(data_samples=samples), found)
        values.append(dict(metric.compute_metrics(metric.results)))
        assert set(json.loads((tmp_path / 'results.json').read_text())['results']) == set('012345')
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def localizer_result(names, instances, found):
    """``LocalizerProposalMetric`` of one proposal for each video."""
    metric = LocalizerProposalMetric(metric_type='AR@AN')
    for name, segments, segment in zip(names, instances, found):
        annotations = [dict(segment=list(s), label='a') for s in segments]
        sample = SimpleNamespace(metainfo=dict(video_name=name, annotations=annotations))
        proposals = [dict(segment=list(segment), score=0.5)]
        metric.process(
            dict(data_samples=[sample]), [dict(video_name=name, proposal_list=proposals)]
        )
    return metric.compute_metrics(metric.results)


@pytest.mark.parametrize('names', [['v_0', 'v_1', 'v_2'], ['A_clip', 'B_clip', 'C_clip']])
def test_localizer_metric_tells_all_videos_apart(names):
    """Only the last video is right, and one of the others has no instance."""
    instances = [[(10, 20)], [], [(30, 40)]]
    result = localizer_result(names, instances, [(50, 60), (50, 60), (30, 40)])
    assert result['AR@1'] == pytest.approx(0.5)


def test_localizer_metric_has_no_number_without_ground_truth():
    result = localizer_result(['v_0', 'v_1'], [[], []], [(0, 1), (2, 3)])
    assert set(result) == {'auc', 'AR@1', 'AR@5', 'AR@10', 'AR@100'}
    assert all(np.isnan(value) for value in result.values())


def test_localizer_metric_refuses_nan():
    with pytest.raises(ValueError, match='video "v_1": its proposals have NaN'):
        localizer_result(['v_0', 'v_1'], [[], []], [(0, 1), (np.nan, 3)])


def test_no_config_evaluates_proposals_by_two_characters_less():
    """``ANetMetric`` stays where it only writes the curves of TEM."""
    for path in sorted((CONFIGS / 'mixin').glob('*.py')):
        evaluators = load(f'mixin/{path.name}').test_evaluator
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if evaluator.type == 'ANetMetric':
                assert evaluator.metric_type == 'TEM', path
