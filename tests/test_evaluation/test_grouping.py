"""Sorting, look-up and pairing against what says the same in one line."""

import numpy as np
import pytest

from mmtad_decomp.evaluation.functional import grouping


def test_order_is_stable():
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 50, 3000):
        for kinds in (1, 3, 10**9):
            scores = rng.integers(0, kinds, n) / 7 - 1.0
            expected = np.argsort(-scores, kind='stable')
            np.testing.assert_array_equal(grouping.order_by_score(scores), expected)


@pytest.mark.parametrize('size', [5, 1 << 16, 1 << 20, 1 << 60])
def test_sort_of_ids_is_stable(size):
    ids = np.random.default_rng(0).integers(0, size, 2000)
    expected = np.argsort(ids, kind='stable')
    np.testing.assert_array_equal(grouping.stable_argsort(ids, size), expected)


@pytest.mark.parametrize('step', [1, 3, 2**40])
def test_positions(step):
    """By table where the range is small, by search where it is large."""
    rng = np.random.default_rng(0)
    known = np.unique(rng.integers(-50, 50, 40)) * step
    values = rng.integers(-80, 80, 200) * step
    expected = [list(known).index(v) if v in known else -1 for v in values]
    np.testing.assert_array_equal(grouping.positions(known, values), expected)
    assert (grouping.positions(known[:0], values) == -1).all()


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize(('scale', 'groups'), [(1, 2), (1e5, 10**6), (1e-3, 10**6), (1e30, 2**40)])
@pytest.mark.parametrize('min_tiou', [0.05, 0.5, 1.0])
def test_pairs_at_the_threshold_are_not_lost(dtype, scale, groups, min_tiou, monkeypatch):
    """Whole numbers of a unit make many pairs whose tIoU is the threshold itself."""
    monkeypatch.setattr(grouping, 'PAIRS_AT_ONCE', 100)
    rng = np.random.default_rng(0)
    names = rng.integers(0, groups, 4)

    def table(n):
        start = rng.integers(0, 30, n)
        both = np.stack([start, start + rng.integers(0, 8, n)], axis=1) * scale
        return both.astype(dtype), rng.choice(names, n)

    (a, a_groups), (b, b_groups) = table(60), table(150)
    m, n = (index.reshape(-1) for index in np.indices((60, 150)))
    tiou = grouping.tiou_of_rows(b[n], a[m])
    keep = (a_groups[m] == b_groups[n]) & (tiou >= min_tiou)
    expected = sorted(zip(m[keep], n[keep], tiou[keep].astype(np.float64)))
    parts = list(grouping.near_pairs(a, a_groups, b, b_groups, min_tiou))
    got = sorted(zip(*(np.concatenate(column) for column in zip(*parts))))
    assert got == expected and len(got) > 5


def test_one_absurd_time_spoils_nothing():
    a = np.array([[0.0, 2.0]])
    b = np.array([[1e308, 1e308], [0.0, 2.0], [-1e308, 3.0]])
    zeros = np.zeros(3, dtype=np.int64)
    ((of_a, of_b, tiou),) = grouping.near_pairs(a, zeros[:1], b, zeros, 0.5)
    assert (of_a.tolist(), of_b.tolist(), tiou.tolist()) == ([0], [1], [1.0])
    a = np.array([[-1e308, 1e308], [0.0, 2.0]])
    with np.errstate(over='ignore', invalid='ignore'):
        parts = list(grouping.near_pairs(a, zeros[:2], b, zeros, 0.5))
    assert [part[1].tolist() for part in parts] == [[1]]
