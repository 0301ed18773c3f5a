"""Actions that the borders of windows cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmaction.registry import TASK_UTILS

from mmtad_decomp.postprocessing import Detections, join_cut_segments, suppress_in_overlaps

SPANS = np.array([[0.0, 50.0], [37.5, 87.5], [75.0, 125.0]])
TOLERANCE = 0.5


def window(*rows):
    """Rows of (start, end, score) or (start, end, score, label)."""
    table = np.array([(*row, 0)[:4] for row in rows], dtype=np.float64).reshape(-1, 4)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(np.int64))


def rows_of(windows):
    return sorted(
        (*segment, score, label)
        for part in windows
        for segment, score, label in zip(*(column.tolist() for column in part))
    )


def merge(windows, **options):
    process = TASK_UTILS.build(
        dict(type='PostProcessor', nms=dict(type='nms', iou_thr=0.5), **options)
    )
    return process.merge(windows, 125.0, 'v', SPANS[: len(windows)])


def test_a_part_that_nms_would_keep_gives_way_to_the_whole():
    windows = [window((45, 50, 0.7)), window((45, 65, 0.8))]
    assert len(merge(windows).scores) == 2  # tIoU 0.25: a double detection
    found = merge(windows, join_tolerance=TOLERANCE)
    np.testing.assert_array_equal(found.segments, [[45, 65]])
    np.testing.assert_array_equal(found.scores, [0.8])


def test_the_same_where_a_window_begins():
    windows = [window((20, 42, 0.8)), window((37.5, 42, 0.9))]
    found = merge(windows, join_tolerance=TOLERANCE)
    np.testing.assert_array_equal(found.segments, [[20, 42]])


def test_an_action_that_both_windows_cut_becomes_one():
    windows = [window((25, 49.9, 0.9)), window((37.6, 70, 0.7))]
    assert len(merge(windows).scores) == 2
    found = merge(windows, join_tolerance=TOLERANCE)
    np.testing.assert_array_equal(found.segments, [[25, 70]])
    np.testing.assert_allclose(found.scores, [0.8])


def test_an_action_through_three_windows_becomes_one():
    windows = [window((25, 50, 0.9)), window((37.5, 87.5, 0.7)), window((75, 100, 0.6))]
    found = merge(windows, join_tolerance=TOLERANCE)
    np.testing.assert_array_equal(found.segments, [[25, 100]])
    np.testing.assert_allclose(found.scores, [((0.9 + 0.7) / 2 + 0.6) / 2])


@pytest.mark.parametrize('tolerance', [TOLERANCE, 0.0])
def test_windows_that_only_touch(tolerance):
    spans = np.array([[0.0, 50.0], [50.0, 100.0]])
    joined = join_cut_segments([window((40, 50, 0.9)), window((50, 60, 0.7))], spans, tolerance)
    assert rows_of(joined) == [(40, 60, pytest.approx(0.8), 0)]


def test_a_better_whole_is_not_replaced_by_a_joint():
    windows = [window((25, 50, 0.9), (30, 45, 0.95)), window((37.5, 70, 0.7))]
    joined = join_cut_segments(windows, SPANS[:2], TOLERANCE)
    # [37.5, 70] is covered by [30, 45] to less than a half: both cuts stay.
    assert rows_of(joined) == rows_of(windows)


def test_a_much_better_part_stays():
    windows = [window((45, 50, 0.9)), window((45, 65, 0.3))]
    assert rows_of(join_cut_segments(windows, SPANS[:2], TOLERANCE)) == rows_of(windows)


def test_classes_are_apart():
    windows = [window((45, 50, 0.7, 0), (45, 50, 0.7, 1)), window((45, 65, 0.8, 0))]
    joined = join_cut_segments(windows, SPANS[:2], TOLERANCE)
    assert rows_of(joined) == [(45, 50, 0.7, 1), (45, 65, 0.8, 0)]


def test_the_ends_of_the_video_cut_nothing():
    windows = [window((0, 5, 0.9), (45, 50, 0.5)), window((80, 87.5, 0.9))]
    assert rows_of(join_cut_segments(windows, SPANS[:2], TOLERANCE)) == rows_of(windows)


def test_of_many_overlapping_windows_the_most_central_counts():
    spans = np.array([[0.0, 40.0], [10.0, 50.0], [20.0, 60.0], [30.0, 70.0]])
    windows = [window((35, 40, 0.6)), window(), window((35, 45, 0.8)), window()]
    assert rows_of(join_cut_segments(windows, spans, TOLERANCE)) == [(35, 45, 0.8, 0)]


rows = st.lists(
    st.tuples(st.integers(0, 120), st.integers(1, 40), st.integers(1, 9), st.integers(0, 1)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(data=st.lists(rows, min_size=3, max_size=3), order=st.permutations(range(3)))
def test_the_order_of_windows_changes_nothing_and_nothing_is_invented(data, order):
    windows = []
    for span, part in zip(SPANS, data):
        table = [(s, min(s + n, span[1]), score / 10, c) for s, n, score, c in part if s < span[1]]
        windows.append(window(*(row for row in table if row[0] >= span[0])))
    joined = join_cut_segments(windows, SPANS, TOLERANCE)
    shuffled = join_cut_segments([windows[i] for i in order], SPANS[list(order)], TOLERANCE)
    assert rows_of(joined) == rows_of(shuffled)
    before, after = rows_of(windows), rows_of(joined)
    assert len(after) <= len(before)
    assert max((r[2] for r in after), default=0) <= max((r[2] for r in before), default=0)


def test_synthetic_video_with_and_without_joining():
    """Windows over a video with long actions: every action once, whole, and nothing else."""
    rng = np.random.default_rng(0)
    truth = np.array([[t, t + d] for t, d in zip(range(5, 600, 60), rng.uniform(20, 50, 10))])
    starts = np.arange(0, 600, 37.5)
    spans = np.stack([starts, starts + 50], axis=1)
    windows = []
    for span in spans:
        seen = np.clip(truth, *span)
        seen = seen[seen[:, 1] - seen[:, 0] > 3]
        windows.append(window(*((*s, score) for s, score in zip(seen, rng.uniform(0.7, 0.9, 99)))))
    options = dict(type='PostProcessor', nms=dict(type='nms', iou_thr=0.5))
    plain = TASK_UTILS.build(options).merge(windows, 650.0, 'v', spans)
    joined = TASK_UTILS.build(dict(options, join_tolerance=0.5)).merge(windows, 650.0, 'v', spans)
    assert len(plain.scores) > len(truth)
    found = joined.segments[np.argsort(joined.segments[:, 0])]
    np.testing.assert_allclose(found, truth)


def test_spans_are_needed():
    parts = [window((0, 5, 0.9)), window((40, 45, 0.9))]
    process = TASK_UTILS.build(dict(type='PostProcessor', join_tolerance=0.5))
    for spans in (None, np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match='video "v": join_tolerance needs the span'):
            process.merge(parts, 100, 'v', spans)
    with pytest.raises(ValueError, match='2 windows need as many spans, got 3'):
        join_cut_segments(parts, SPANS, 0.5)


def kept_in_overlaps(windows, spans, iou_thr):
    """TadTR's cross-window fusion, one candidate at a time."""
    pool = [row for part in windows for row in zip(*(column.tolist() for column in part))]
    inside = [[] for _ in spans[1:]]
    for row in pool:
        for i, group in enumerate(inside):
            begin, stop = spans[i + 1][0], spans[i][1]
            if min(row[0][1], stop) - max(row[0][0], begin) > 0:
                group.append(row)
    kept = [row for row in pool if not any(row in group for group in inside)]
    for group in inside:
        best = []
        for row in sorted(group, key=lambda row: -row[1]):
            overlaps = []
            for other in best:
                if other[2] == row[2]:
                    inter = min(other[0][1], row[0][1]) - max(other[0][0], row[0][0])
                    whole = max(other[0][1], row[0][1]) - min(other[0][0], row[0][0])
                    overlaps.append(inter / whole if inter > 0 else 0.0)
            if all(overlap < iou_thr for overlap in overlaps):
                best.append(row)
        kept += [row for row in best if row not in kept]
    return sorted((*segment, score, label) for segment, score, label in kept)


@pytest.mark.parametrize('seed', range(5))
def test_suppression_in_overlaps_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    windows = []
    for begin, end in SPANS:
        start = rng.uniform(begin, end - 2, 40)
        length = rng.uniform(1, 30, 40)
        rows = zip(start, np.minimum(start + length, end), rng.random(40), rng.integers(0, 2, 40))
        windows.append(window(*rows))
    found = suppress_in_overlaps(windows, SPANS, 0.4)
    assert rows_of(found) == kept_in_overlaps(windows, SPANS, 0.4)
    shuffled = suppress_in_overlaps([windows[i] for i in (2, 0, 1)], SPANS[[2, 0, 1]], 0.4)
    assert rows_of(shuffled) == rows_of(found)
    assert len(found[0].scores) < 120


def test_candidates_outside_of_overlaps_are_left_alone():
    """Two equal detections of one window stay, as sets want; those of two windows do not."""
    windows = [window((10, 20, 0.9), (10, 20, 0.8), (40, 48, 0.7)), window((40, 48, 0.6))]
    options = dict(type='PostProcessor', nms=None, overlap_iou=0.4)
    found = TASK_UTILS.build(options).merge(windows, 125.0, 'v', SPANS[:2])
    assert rows_of([found]) == [(10, 20, 0.8, 0), (10, 20, 0.9, 0), (40, 48, 0.7, 0)]
    with pytest.raises(ValueError, match='video "v": overlap_iou needs the span'):
        TASK_UTILS.build(options).merge(windows, 125.0, 'v')
    with pytest.raises(ValueError, match=r'overlap_iou must be in \(0, 1\]'):
        TASK_UTILS.build(dict(options, overlap_iou=0.0))
