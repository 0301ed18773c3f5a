"""Annotated videos: every frame is there, and shows what is detected at its time."""

import numpy as np
import pytest
from matplotlib import rc_context

from mmtad_decomp.datasets import iterate_frames
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.visualization import annotate_frames, write_video
from mmtad_decomp.visualization.timeline import PALETTE

CLASSES = ('run', 'jump')
FOUND = Detections(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([1.0, 1.0]), np.array([0, 1]))


def frames(count, height=40, width=61):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def caption_colors(picture, height):
    """Which classes' marks are in the caption, the line right below the frame."""
    caption = picture[height + 9 : height + 22].reshape(-1, 3)
    return {name for name, color in zip(CLASSES, PALETTE) if (caption == rgb(color)).all(1).any()}


def test_captions_follow_the_detections():
    pictures = list(annotate_frames(frames(40), 10.0, FOUND, CLASSES, 4.0))
    assert len(pictures) == 40
    height = round(40 * 640 / 61 / 2) * 2
    assert {p.shape for p in pictures} == {pictures[0].shape}
    assert pictures[0].shape[1] >= 640 and not any(side % 2 for side in pictures[0].shape[:2])
    shown = [caption_colors(picture, height) for picture in pictures]
    assert shown[5] == {'run'} and shown[15] == set() and shown[25] == {'jump'}
    assert shown[9] == {'run'} and shown[10] == set()
    assert not np.array_equal(pictures[15][height:], pictures[16][height:])  # the line moves


def test_the_time_line_of_a_long_video_moves_along():
    late = Detections(np.array([[300.0, 310.0]]), np.array([1.0]), np.array([0]))
    fps = 0.1  # a frame every ten seconds
    pictures = list(annotate_frames(frames(60), fps, late, CLASSES, 600.0))
    height = round(40 * 640 / 61 / 2) * 2
    bars = [(p[height + 30 :] == rgb(PALETTE[0])).all(axis=2).sum() for p in pictures]
    assert bars[0] == 0 and bars[30] > 500 and bars[59] == 0


def test_large_frames_keep_their_size_and_no_detections_are_fine():
    nothing = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    (picture,) = annotate_frames(frames(1, 720, 1280), 25.0, nothing, CLASSES, 1.0)
    assert picture.shape[1] == 1280 and picture.shape[0] > 720


def test_names_of_any_length_leave_the_clock_and_the_time_line_alone():
    def panel(name, **options):
        with rc_context(options):
            (picture,) = annotate_frames(frames(1, 40, 640), 25.0, FOUND, (name, 'jump'), 4.0)
        return picture[40:]

    long, longer = panel('w' * 80), panel('w' * 90)
    np.testing.assert_array_equal(long, longer)
    assert (long[:30, -80:].min(axis=(0, 2)) > 200).any()  # white between name and clock
    assert not np.array_equal(panel('run'), panel('run', **{'font.family': 'DejaVu Serif'}))


def test_classes_without_a_row_have_a_color_of_their_own():
    labels = np.arange(6)
    found = Detections(np.tile([0.0, 1.0], (6, 1)), np.linspace(1.0, 0.5, 6), labels)
    found = Detections(found.segments + (labels == 5)[:, None] * 2.0, found.scores, labels)
    pictures = list(annotate_frames(frames(3), 1.0, found, [*'abcdef'], 3.0))
    height = round(40 * 640 / 61 / 2) * 2
    caption = pictures[2][height + 9 : height + 22].reshape(-1, 3)
    assert (caption == 127).all(1).any()
    assert not any((caption == rgb(color)).all(1).any() for color in PALETTE)


def test_a_written_video_has_all_frames_or_is_not_there(tmp_path):
    pictures = list(annotate_frames(frames(12), 10.0, FOUND, CLASSES, 1.2))
    write_video(tmp_path / 'v.mp4', iter(pictures), 10.0)
    read = list(iterate_frames(tmp_path / 'v.mp4'))
    assert len(read) == 12
    assert np.abs(read[3].astype(int) - pictures[3]).mean() < 12

    def broken():
        yield pictures[0]
        raise KeyError('gone')

    with pytest.raises(KeyError):
        write_video(tmp_path / 'w.mp4', broken(), 10.0)
    assert [path.name for path in tmp_path.iterdir()] == ['v.mp4']
