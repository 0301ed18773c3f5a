"""Windows, sampled frames and visible ground truth."""

import numpy as np
import pytest

from mmtad_decomp.datasets import (
    num_sampled_frames,
    source_frame_indices,
    visible_instances,
    window_starts,
)


def test_windows_by_hand():
    assert window_starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert window_starts(11, 4, 0.5) == [0, 2, 4, 6, 7], 'the last window ends with the video'
    assert window_starts(10, 4, 0) == [0, 4, 6]
    assert window_starts(1024, 256, 0.75) == list(range(0, 769, 64))
    assert window_starts(130, 100, 0.9) == [0, 10, 20, 30], '100 * (1 - 0.9) is just below 10'
    assert window_starts(4, 4, 0.5) == [0]
    assert window_starts(3, 4, 0.5) == [0], 'shorter than a window'
    assert window_starts(1, 1, 0.75) == [0]
    assert window_starts(3, 1, 0.75) == [0, 1, 2]


def test_every_step_is_in_some_window():
    rng = np.random.default_rng(0)
    for _ in range(500):
        steps, length = int(rng.integers(1, 400)), int(rng.integers(1, 130))
        overlap = float(rng.choice([0, 0.1, 0.25, 0.5, 0.75, 0.99]))
        starts = window_starts(steps, length, overlap)
        covered = np.zeros(steps, dtype=int)
        for start in starts:
            assert start >= 0 and (start + length <= steps or start == 0)
            covered[start : start + length] += 1
        assert covered.min() >= 1, (steps, length, overlap)
        assert starts == sorted(set(starts)), 'no window twice'
        hops = np.diff(starts)
        assert (hops <= max(1, round(length * (1 - overlap)))).all()


@pytest.mark.parametrize('overlap', [-0.1, 1, 1.5])
def test_impossible_overlap(overlap: float):
    with pytest.raises(ValueError, match='overlap must be in'):
        window_starts(10, 4, overlap)


@pytest.mark.parametrize(
    ('sample_fps', 'source_fps', 'wanted'),
    [
        (25, 25, [0, 1, 2, 3]),
        (12.5, 25, [1, 3, 5, 7]),
        (10, 30, [1, 4, 7, 10]),
        (6.25, 12.5, [1, 3, 5, 7]),
        (10, 25, [1, 3, 6, 8]),
        (50, 25, [0, 0, 1, 1]),
        (10, 30000 / 1001, [1, 4, 7, 10]),
    ],
)
def test_sampled_frames_by_hand(sample_fps, source_fps, wanted):
    got = source_frame_indices(0, 4, sample_fps, source_fps, 1000)
    assert got.tolist() == wanted
    later = source_frame_indices(100, 104, sample_fps, source_fps, 10_000)
    centres = (np.arange(100, 104) + 0.5) / sample_fps
    assert (later / source_fps <= centres + 1e-6).all(), 'the frame shown at the centre'
    assert (centres < (later + 1) / source_fps + 1e-6).all()


def test_windows_of_one_video_take_the_same_frames():
    whole = source_frame_indices(0, 300, 7.3, 29.97, 1200)
    for start in (0, 17, 200):
        part = source_frame_indices(start, start + 100, 7.3, 29.97, 1200)
        np.testing.assert_array_equal(part, whole[start : start + 100])
    assert whole.max() <= 1199
    assert source_frame_indices(0, 10, 10, 10, 7).tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]


def test_number_of_sampled_frames():
    assert num_sampled_frames(10, 10) == 100
    assert num_sampled_frames(10.01, 10) == 101, 'the tail counts'
    assert num_sampled_frames(0.1 * 3, 10) == 3, 'float error does not'
    assert num_sampled_frames(0.001, 10) == 1


def test_visible_instances():
    segments = np.array([[0, 4], [1, 2], [3, 8], [9, 10], [4, 5.0]])
    clipped, index = visible_instances(segments, 1, 5, 0.75)
    assert index.tolist() == [0, 1, 4]
    np.testing.assert_array_equal(clipped, [[1, 4], [1, 2], [4, 5]])
    assert visible_instances(segments, 1, 5, 0.76)[1].tolist() == [1, 4]
    assert visible_instances(segments, 1, 5, 0.0)[1].tolist() == [0, 1, 2, 4]
    assert visible_instances(segments[:0], 1, 5, 0.5)[0].shape == (0, 2)
