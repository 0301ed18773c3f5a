"""tools/benchmarks/actionformer_head.py at a size that tests can afford."""

import json

import pytest
import torch

from tools.benchmarks import actionformer_head

pytest.importorskip('actionformer', reason='the official package "actionformer" is not installed')

SMALL = actionformer_head.Case(
    'small',
    2,
    dict(embd_dim=32, input_dim=24, max_seq_len=256, num_classes=3, window=5),
    dict(
        num_classes=3, in_channels=24, max_seq_len=256, encoder=dict(embed_dims=32, window_size=5)
    ),
)


def test_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(actionformer_head, 'cases', lambda: [SMALL])
    threads = torch.get_num_threads()
    try:
        actionformer_head.main(['--json', str(tmp_path / 'rows.json'), '--rounds', '1'])
    finally:
        torch.set_num_threads(threads)
    results = json.loads((tmp_path / 'rows.json').read_text())
    assert [row['call'] for row in results['rows']] == list(actionformer_head.PASSES)
    assert [row['windows'] for row in results['rows']] == [2, 1]
    for row in results['rows']:
        assert row['ratio'] == pytest.approx(row['official'] / row['ours'], rel=0.2)
        assert 300 < row['ours_operators'] < row['official_operators'] / 2


def test_networks_that_differ_are_not_timed():
    wider = dict(SMALL.head, encoder=dict(embed_dims=32, window_size=9))
    with pytest.raises(AssertionError, match='not close'):
        actionformer_head.passes_of(SMALL._replace(head=wider), 'cpu')


def test_views_are_no_operators():
    x = torch.zeros(2, 3)
    assert actionformer_head.count_operators(lambda: x.T.reshape(3, 2, 1)[0]) == 0
    assert actionformer_head.count_operators(lambda: (x.T + 1).sum()) == 2
