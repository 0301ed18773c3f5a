"""Annotated videos: every frame is there, and shows what is detected at its time."""

import itertools

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import ImageDraw

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


@pytest.fixture
def written(monkeypatch):
    """Text and ``(x0, y0, x1, y1)`` of all that is written into pictures."""
    texts, write = [], ImageDraw.ImageDraw.text

    def note(canvas, place, text, **options):
        texts.append((text, canvas.textbbox(place, text, font=options['font'])))
        write(canvas, place, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, 'text', note)
    return texts


LONG = (
    'playing the accordion outdoors in the rain',
    'applying sunscreen to the face',
    'cleaning windows with a squeegee and water, and then with a very dry and very clean cloth',
    'run',
)


def assert_apart(texts, width):
    boxes = [box for _, box in texts]
    for i, one in enumerate(boxes):
        assert one[0] >= 0 and one[2] <= width
        for other in boxes[:i]:
            assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(
                one[1], other[1]
            )


def test_long_captions_take_lines_of_their_own(written):
    found = Detections(
        np.array([[0.0, 9.0], [1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [3.0, 9.0]]),
        np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
        np.array([0, 1, 2, 3, 3]),
    )
    pictures = list(annotate_frames(frames(4, 480, 640), 1.0, found, LONG, 9.0))
    assert len({picture.shape for picture in pictures}) == 1  # whatever a frame's captions need
    per_frame = len(LONG) + 1  # names of the rows and the clock
    starts = np.cumsum([0, 1 + per_frame, 2 + per_frame, 3 + per_frame, 3 + per_frame])
    panels = [written[a:b] for a, b in itertools.pairwise(starts)]
    assert len(written) == starts[-1]
    for panel in panels:
        assert_apart(panel, 640)
    assert [text for text, _ in panels[1][:3]] == [f'{LONG[0]} 0.90', f'{LONG[1]} 0.80', '0:01.50']
    third, last = panels[2][2][0], panels[3][2][0]
    assert third.startswith('cleaning') and '…' in third and third.endswith('cloth 0.70')
    assert last.startswith('cleaning') and '…' in last and last.endswith('0.70  +2 more')
    assert any('…' in text for text, _ in panels[0][2:5])  # names of rows
    for number, line in enumerate(panels[3][:3]):  # the mark is beside its caption
        mark = pictures[3][int(line[1][1]) + 480 + 6, 12]
        np.testing.assert_array_equal(mark, rgb(PALETTE[number]))


def test_names_with_line_breaks_take_one_line():
    broken, plain = (
        list(annotate_frames(frames(4), 1.0, FOUND, classes, 4.0))
        for classes in (('run\nfast', 'jump'), ('run fast', 'jump'))
    )
    np.testing.assert_array_equal(broken, plain)


def test_short_captions_share_a_line(written):
    both = Detections(FOUND.segments * [1.0, 0.0] + [0.0, 9.0], FOUND.scores, FOUND.labels)
    (picture,) = annotate_frames(frames(1, 480, 640), 0.1, both, CLASSES, 9.0)
    (one, other, *_), height = written, picture.shape[0] - 480
    assert [one[0], other[0]] == ['run 1.00', 'jump 1.00'] and one[1][0] < other[1][0]
    assert abs(one[1][1] - other[1][1]) < 5 and height == 30 + 2 * 20 + 2 * 8
    names = [text for text, _ in written[3:]]
    assert names == ['run', 'jump']  # the longest of the names has all of its room


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
