"""BoundaryProposalMetric against MMAction2's own pairing of starts and ends."""

import json

import numpy as np
import pytest
from mmaction.models.localizers.utils import generate_candidate_proposals

from mmtad_decomp.evaluation.metrics import BoundaryProposalMetric
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
