"""Detections of a video block by block, against those of the whole video."""

import math

import numpy as np
import pytest

from mmtad_decomp.postprocessing import Detections, VideoMerger, WindowResult
from mmtad_decomp.postprocessing.block_merger import BlockMerger
from mmtad_decomp.postprocessing.detections import by_score, concatenate

LENGTH, HOP, COUNT = 20.0, 10.0, 12


def windows(rows):
    """Overlapping windows; a row is (window, start, end, score, label)."""
    rows = np.array(rows, dtype=float).reshape(-1, 5)
    for i in range(COUNT):
        own = rows[rows[:, 0] == i]
        found = Detections(own[:, 1:3], own[:, 3], own[:, 4].astype(int))
        span = (i * HOP, i * HOP + LENGTH)
        yield WindowResult('v', span, found, span)


def whole(rows, nms=None):
    post = None if nms is None else dict(type='PostProcessor', nms=nms, max_per_video=None)
    merger = VideoMerger('ab', post)
    (found,) = merger(windows(rows), {'v': (COUNT - 1) * HOP + LENGTH}).values()
    return merger, found


def in_blocks(merger, block, rows):
    """What each window made final, and what was left at the end."""
    blocks = BlockMerger(merger, 'v', block)
    parts = [blocks.add(w, w.span[0] + HOP) for w in windows(rows)]
    assert len(blocks._windows) <= (block + 2 * LENGTH) / HOP  # what is around the last block
    return [*parts, blocks.finish((COUNT - 1) * HOP + LENGTH)]


@pytest.mark.parametrize(
    ('block', 'bound', 'lowest'),
    [
        (math.inf, 3, 0.6),
        (0.0, 3, 0.6),
        (math.inf, 5, 0.4),
        (60.0, 5, -math.inf),
        (math.inf, 6, -math.inf),
    ],
)
def test_the_score_above_which_nothing_is_cut(block, bound, lowest):
    """Five detections far apart; the best lies before the video and counts all the same."""
    rows = [(0, -3, -1, 0.9, 0), (1, 12, 14, 0.6, 0), (1, 16, 18, 0.7, 0)]
    rows += [(1, 22, 24, 0.5, 0), (8, 85, 88, 0.4, 0)]
    post = dict(type='PostProcessor', nms=dict(type='nms', iou_thr=0.5), max_per_video=bound)
    blocks = BlockMerger(VideoMerger('ab', post), 'v', block)
    for window in windows(rows):
        blocks.add(window, window.span[0] + HOP)
    blocks.finish((COUNT - 1) * HOP + LENGTH)
    assert blocks.complete_above == lowest


class Quiet:
    """A post-processor of a user's, with what the guide asks for."""

    def prepare(self, classes, video_ids):
        pass

    def merge(self, windows, duration, video_id=None, spans=None):
        return concatenate(windows)


class Telling(Quiet):
    """It also says where it may have cut."""

    def merge(self, windows, duration, video_id=None, spans=None, on_full=None):
        if on_full is not None:
            on_full(0.25)
        return concatenate(windows)


@pytest.mark.parametrize(('kind', 'lowest'), [(Quiet, -math.inf), (Telling, 0.25)])
def test_another_post_processor_may_say_what_it_cut(kind, lowest):
    rows = [(0, 1, 3, 0.9, 0)]
    merger = VideoMerger('ab', dict(type=kind))
    blocks = BlockMerger(merger, 'v')
    for window in windows(rows):
        blocks.add(window, window.span[0] + HOP)
    assert blocks.finish(130.0).scores.tolist() == [0.9]
    assert blocks.complete_above == lowest
    (found,) = merger(windows(rows), {'v': 130.0}).values()
    assert found.scores.tolist() == [0.9]


def assert_same(found, expected):
    for column, other in zip(by_score(found), by_score(expected)):
        np.testing.assert_allclose(column, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize('block', [0.0, 20.0, math.inf])
@pytest.mark.parametrize('seed', range(2))
def test_candidates_come_once_and_suppression_is_that_of_the_whole(block, seed):
    rng = np.random.default_rng(seed)
    rows = [(3, 38, 42, 2, 1)]  # its centre is a border
    # The window of the better one has ended when the block of the other one begins.
    rows += [(0, 13, 20, 2, 1), (1, 16, 26, 1, 1)]
    for i in range(COUNT):
        for _ in range(6):
            start = i * HOP + rng.integers(0, 30) / 2
            rows.append((i, start, start + rng.integers(1, 10) / 2, rng.random(), 0))
    merger, expected = whole(rows, dict(type='nms', iou_thr=0.2))
    parts = in_blocks(merger, block, rows)
    assert_same(concatenate(parts), expected)
    for i, part in enumerate(parts[:-1]):
        assert (part.segments.mean(axis=1) < (i + 1) * HOP).all()
        closes = block == 0 or (block == 20 and i % 2 == 1)
        assert (len(part.scores) > 0) == closes


@pytest.mark.parametrize(
    'start, score, label, kept',
    [
        (6.0, 0.4, 0, False),  # 6 of 12 seconds are common
        (6.01, 0.4, 0, True),
        (6.0, 0.5, 0, False),
        (6.0, 0.6, 0, True),
        (6.0, 0.4, 1, True),
    ],
)
def test_what_was_given_is_not_repeated(start, score, label, kept):
    """Without suppression: the second window sees the action of the first one a bit later."""
    rows = [(0, 3.0, 12.0, 0.5, 0), (1, start, start + 9.0, score, label)]
    merger, _ = whole(rows)
    parts = in_blocks(merger, 0.0, rows)
    assert [len(part.scores) for part in parts[:2]] == [1, int(kept)]
    assert not any(len(part.scores) for part in parts[2:])


def test_long_actions_are_remembered_for_more_than_a_block():
    merger, _ = whole(rows := [(1, 0.0, 38.0, 0.5, 0), (3, 8.0, 56.0, 0.4, 0)])
    assert [len(part.scores) for part in in_blocks(merger, 0.0, rows)[:4]] == [0, 1, 0, 0]
