"""Features and frame folders that do not follow the annotation's clock are named at once."""

import logging
import re

import cv2
import numpy as np
import pytest
from media_helpers import numbered_frame, numbers_of, video_entry, write_annotations

from mmtad_decomp.annotations import AnnotationError
from mmtad_decomp.datasets import TADDataset, VideoReadError
from mmtad_decomp.datasets.transforms import loading


def features(root, steps, **options):
    """Videos of 15 s at 25 fps, whose features have so many steps."""
    root.mkdir(exist_ok=True)
    for i, number in enumerate(steps):
        np.save(root / f'v{i}.npy', np.zeros((number, 6), np.float32))
    database = {f'v{i}': video_entry(15.0, (12.0, 14.0, 'a')) for i in range(len(steps))}
    write_annotations(root / 'ann.json', database)
    return TADDataset(
        str(root / 'ann.json'),
        'feature',
        data_prefix=dict(feature=str(root)),
        pipeline=[dict(type='LoadFeatures', channels=6)],
        **options,
    )


@pytest.mark.parametrize(
    ('steps', 'options', 'fits'),
    [(45, {}, 8.07), (91, dict(sample_fps=50), 8.11), (182, {}, 1.99), (50, {}, 7.26)],
)
def test_features_of_another_clock_are_refused(tmp_path, steps, options, fits):
    message = rf'features of 2 of 2 videos .*v0\.npy: {steps} steps.*about {fits} would fit'
    with pytest.raises(VideoReadError, match=message):
        features(tmp_path, [steps] * 2, **options)


@pytest.mark.parametrize('steps', [86, 91, 94])
def test_features_with_or_without_their_margins_pass(tmp_path, steps):
    assert len(features(tmp_path, [steps] * 2)) == 2


def test_a_few_other_lengths_are_a_warning(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(loading, 'print_log', lambda text, **more: logged.append((text, more)))
    features(tmp_path, [91] * 10 + [45])
    assert 'features of 1 of 11 videos' in logged[0][0]
    assert logged[0][1]['level'] == logging.WARNING


def folder(root, begin, **options):
    """A folder of 50 frames, the first of which has the number ``begin``."""
    (root / 'v').mkdir()
    for index in range(50):
        cv2.imwrite(str(root / 'v' / f'img_{index + begin:05d}.jpg'), numbered_frame(index))
    write_annotations(root / 'ann.json', dict(v=video_entry(2.0, (0.5, 1.5, 'a'), frame=50)))
    loader = dict(type='LoadFrameFolder', **options)
    return TADDataset(
        str(root / 'ann.json'), 'frames', data_prefix=dict(frames=str(root)), pipeline=[loader]
    )


@pytest.mark.parametrize(('first', 'said'), [(0, 1), (1, 0)])
def test_folders_numbered_otherwise_are_refused(tmp_path, first, said):
    with pytest.raises(VideoReadError, match=rf'numbered from {first} .*`first={first}`'):
        folder(tmp_path, first, first=said)


@pytest.mark.parametrize('first', [0, 1])
def test_folders_numbered_as_said_pass(tmp_path, first):
    assert len(folder(tmp_path, first, first=first)) == 1


def uncounted(root, duration, images=100, fields=None, **options):
    """Frames at 10 per second, whose number the annotation does not say, in windows of 20."""
    (root / 'v').mkdir(parents=True)
    for index in range(images):
        cv2.imwrite(str(root / 'v' / f'img_{index + 1:05d}.png'), numbered_frame(index))
    entry = video_entry(duration, (0.5, 1.5, 'a'), fps=10, **(fields or {}))
    write_annotations(root / 'ann.json', dict(v=entry))
    return TADDataset(
        str(root / 'ann.json'),
        'frames',
        data_prefix=dict(frames=str(root)),
        pipeline=[dict(type='LoadFrameFolder', **{'template': 'img_{:05d}.png', **options})],
        window=20,
        overlap=0.0,
        test_mode=True,
    )


@pytest.mark.parametrize('duration', [9.96, 10.0, 10.04, 10.2])
def test_frames_that_are_not_counted_may_end_two_early(tmp_path, duration):
    """Of frames asked for beyond the 100 images, the last is served again, as of video files."""
    windows = uncounted(tmp_path, duration)
    steps = int(np.ceil(round(duration * 10, 6)))
    wanted = [min(step, 99) for step in range(steps)][-20:]
    assert numbers_of(windows[len(windows) - 1]['frames']) == wanted
    assert numbers_of(windows[0]['frames']) == list(range(20))


def test_images_are_looked_for_once_in_a_video(tmp_path, monkeypatch):
    windows = uncounted(tmp_path, 10.04)
    looked = []
    monkeypatch.setattr(loading.Path, 'is_file', lambda path: looked.append(path) or True)
    assert len([windows[i] for i in range(len(windows))]) == 6 and not looked


@pytest.mark.parametrize(
    ('fields', 'options', 'message'),
    [
        (None, {}, r'1 of 1 .* the 100 frames in .*v end at 10\.00 s .* 10\.25 s was asked for'),
        (dict(frame=101), {}, r'1 of 1 .*00101\.png is missing, the last one by "frame" of'),
        (None, dict(template='none_{}.png'), 'the 0 frames in .*v end at 0'),
    ],
)
def test_frames_that_end_too_early_are_refused_before_training(
    tmp_path, fields, options, message, monkeypatch
):
    with pytest.raises(VideoReadError, match=message) as error:
        uncounted(tmp_path / 'a', 10.3, fields=fields, **options)
    assert ('"frame"' in str(error.value)) == (fields is not None)
    logged = []
    monkeypatch.setattr(loading, 'print_log', lambda text, **more: logged.append(text))
    if not options:
        windows = uncounted(tmp_path / 'b', 10.3, fields=fields, skip_unreadable=True)
        assert len(logged) == 1 and re.search(message, logged[0])
        assert numbers_of(windows[0]['frames']) == list(range(20)), 'training goes on with it'
        with pytest.raises(VideoReadError):
            windows[len(windows) - 1]


def test_nothing_to_train_on_is_explained(tmp_path):
    path = write_annotations(tmp_path / 'ann.json', dict(v=video_entry(2.0)))
    (tmp_path / 'v.mp4').touch()
    with pytest.raises(AnnotationError, match='has an instance to train on; correct') as error:
        TADDataset(str(path), data_prefix=dict(video=str(tmp_path)))
    assert 'None' not in str(error.value).replace('subset None', '')
