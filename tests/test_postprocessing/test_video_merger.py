"""Windows of several videos in, detections of each video out."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmtad_decomp.postprocessing import PostProcessor, VideoMerger, WindowResult
from mmtad_decomp.structures import TADDataSample, TimeGrid

DURATIONS = dict(b=60.0, a=100.0, untested=10.0)


GRID = TimeGrid(2.0)


def result(video_id, window, rows, grid=GRID, agnostic=False):
    """The result of a window; rows are (start, end, score, label)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    sample = TADDataSample(metainfo=dict(video_id=video_id, window=window))
    if grid is not None:
        sample.set_metainfo(dict(time_grid=grid))
    sample.pred_instances = InstanceData(segments=table[:, :2], scores=table[:, 2])
    if not agnostic:
        sample.pred_instances.labels = table[:, 3].long()
    return WindowResult.from_sample(sample.to_dict(), agnostic)


WINDOWS = [
    result('a', (100, 200), [(60, 70, 0.5, 1)]),
    result('a', (0, 100), [(3, 9, 0.75, 0), (1, 2, 0.25, 1)]),
    result('b', (0, 100), []),
    result('elsewhere', (0, 10), [(1, 2, 0.5, 0)]),
    result('a', (0, 100), [(3, 9, 0.75, 0), (1, 2, 0.25, 1)]),
]


def test_each_window_counts_once_in_order_of_time_and_of_known_videos():
    merged = VideoMerger('xy', None)(WINDOWS, DURATIONS)
    assert list(merged) == ['b', 'a'] and len(merged['b'].scores) == 0
    np.testing.assert_array_equal(merged['a'].segments, [[3, 9], [1, 2], [60, 70]])
    np.testing.assert_array_equal(merged['a'].labels, [0, 1, 1])


def test_candidates_know_the_spans_of_their_windows_in_seconds():
    windows = [
        result('a', (100, 200), [], TimeGrid(2.0, start=100)),
        result('a', (0, 100), []),
        result('b', (0, 100), [], None),
    ]
    b, a = VideoMerger('xy', None).gather(windows, DURATIONS)
    np.testing.assert_array_equal(a.spans, [[0, 50], [50, 100]])
    assert np.isnan(b.spans).all() and (a.duration, b.duration) == (100, 60)


def test_the_post_processor_sees_all_windows_of_a_video_at_once():
    config = dict(type='PostProcessor', nms=dict(type='nms', iou_thr=0.5), max_per_video=2)
    merger = VideoMerger('xy', config, DURATIONS)
    windows = [*WINDOWS, result('a', (50, 150), [(59, 70, 0.9, 1)])]
    found = merger(windows, DURATIONS)['a']
    np.testing.assert_allclose(found.scores, [0.9, 0.75], rtol=1e-6)
    candidates = [w.detections for w in windows if w.video_id == 'a']
    expected = PostProcessor(nms=dict(type='nms', iou_thr=0.5), max_per_video=2).merge(
        candidates, 100.0
    )
    np.testing.assert_array_equal(found.segments, expected.segments)


def test_agnostic_windows_need_no_labels():
    window = result('a', (0, 10), [(1, 2, 0.5, 7)], agnostic=True)
    assert window.detections.labels.tolist() == [0]


def test_without_a_post_processor_reversed_segments_are_empty_and_nan_is_refused():
    merger = VideoMerger('xy', None)
    found = merger([result('a', (0, 10), [(5, 3, 0.5, 0)])], DURATIONS)
    np.testing.assert_array_equal(found['a'].segments, [[5, 5]])
    with pytest.raises(ValueError, match='video "b": 1 of 2 candidates have NaN'):
        merger([result('b', (0, 10), [(5, float('nan'), 0.5, 0), (1, 2, 1, 1)])], DURATIONS)


def test_windows_without_candidates_are_refused():
    with pytest.raises(KeyError, match='"a" has no pred_instances'):
        WindowResult.from_sample(dict(video_id='a', window=(0, 1)))
