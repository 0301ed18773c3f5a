"""Optical flow in the pipeline: in step with the frames, and checked before training."""

from itertools import pairwise

import flow_helpers as helpers
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, TRANSFORMS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.datasets import VideoReadError
from mmtad_decomp.datasets.flow_store import read_flow, read_header, write_flow
from tools.data import extract_flow


@pytest.fixture(scope='module')
def moving_set(tmp_path_factory):
    """A set of moving texture with its flow, and where the texture is in each sampled frame."""
    root = tmp_path_factory.mktemp('moving')
    places = helpers.write_set(root, dict(a=60, b=34))
    dataset = helpers.dataset_config(root, [helpers.load_flow(root)])
    config = helpers.write_config(root / 'config.py', dataset)
    assert extract_flow.main([str(config), '--method', 'dis', '--workers', '1']) == 0
    return root, {name: offsets[1::2] for name, offsets in places.items()}


def build(root, *steps: dict, **settings):
    return DATASETS.build(helpers.dataset_config(root, list(steps), **settings))


def motion_of(places: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """The true motion of each step of a window, ``(T, 2)``."""
    steps = np.diff(places, axis=0)
    return np.concatenate([steps[:1], steps])[slice(*window)]


def test_windows_are_aligned_to_the_frame(moving_set):
    """Every step differs, so that a shift by one frame in time would show."""
    root, places = moving_set
    dataset = build(root, helpers.FRAMES, helpers.load_flow(root), overlap=0.5)
    picture = helpers.texture()
    assert len(dataset) > 8
    for window in dataset:
        where, span = places[window['video_id']], window['window']
        assert len(window['frames']) == len(window['flow']) == span[1] - span[0] == 8
        assert window['flow'].dtype == np.float32
        for frame, place in zip(window['frames'], where[slice(*span)]):
            np.testing.assert_array_equal(frame, helpers.moved_picture(picture, place))
        found = np.median(helpers.inner(window['flow']), axis=(1, 2))
        wanted = motion_of(where, span)
        assert np.abs(found - wanted).max() < 0.1
        assert np.abs(found[1:] - wanted[:-1]).max() > 0.5
    starts = {window['window'][0] for window in dataset}
    assert 0 in starts and len(starts) > 4


def test_the_first_step_of_a_later_window_comes_from_the_frame_before_it(moving_set):
    root, places = moving_set
    for window in build(root, helpers.load_flow(root)):
        start = window['window'][0]
        first = np.median(helpers.inner(window['flow'])[0], axis=(0, 1))
        where = places[window['video_id']]
        before = (start - 1, start) if start else (0, 1)
        assert np.abs(first - (where[before[1]] - where[before[0]])).max() < 0.1


def test_flow_alone_or_beside_frames_is_the_same(moving_set):
    root, _ = moving_set
    alone = build(root, helpers.load_flow(root), dict(type='PackTADInputs'))
    both = build(root, helpers.FRAMES, helpers.load_flow(root), dict(type='PackTADInputs'))
    assert len(alone) == len(both)
    for one, two in zip(alone, both):
        assert list(one['inputs']) == ['flow'] and list(two['inputs']) == ['frames', 'flow']
        assert torch.equal(one['inputs']['flow'], two['inputs']['flow'])
        assert one['inputs']['flow'].shape == (8, 2, helpers.HEIGHT, helpers.WIDTH)
        assert one['data_samples'].num_steps == two['data_samples'].num_steps == 8


def test_augmentation_moves_frames_and_flow_alike(moving_set):
    """The transformed flow is that which an estimator finds on the transformed frames."""
    root, _ = moving_set
    pipelines = {
        'flip': [dict(type='RandomHorizontalFlip', prob=1)],
        'crop': [dict(type='RandomSpatialCrop', size=(50, 60))],
        'resize': [dict(type='ResizeShortSide', short_side=48)],
        'rotate': [dict(type='RandomRotation', degrees=45, prob=1)],
    }
    pipelines['all'] = [pipelines[name][0] for name in ('rotate', 'crop', 'flip')]
    estimate = extract_flow.METHODS['dis']()
    for name, steps in pipelines.items():
        np.random.seed(1)
        window = build(root, helpers.FRAMES, helpers.load_flow(root), *steps)[1]
        grey = np.rint(window['frames'].mean(axis=-1)).astype(np.uint8)
        found = np.stack([estimate(a, b) for a, b in pairwise(grey)])
        found, flow = helpers.inner(found, 18), helpers.inner(window['flow'][1:], 18)
        error = np.abs(np.median(found - flow, axis=(1, 2))).max()
        assert error < 0.12, f'{name}: {error}'
        if name in ('flip', 'rotate', 'all'):
            plain = build(root, helpers.load_flow(root))[1]['flow'][1:]
            unturned = np.median(helpers.inner(plain), axis=(1, 2))
            assert np.abs(np.median(flow, axis=(1, 2)) - unturned).max() > 0.5


def test_the_flip_negates_x(moving_set):
    root, _ = moving_set
    plain = build(root, helpers.load_flow(root))[0]['flow']
    flip = dict(type='RandomHorizontalFlip', prob=1)
    flipped = build(root, helpers.load_flow(root), flip)[0]['flow']
    np.testing.assert_array_equal(flipped[..., 0], -plain[:, :, ::-1, 0])
    np.testing.assert_array_equal(flipped[..., 1], plain[:, :, ::-1, 1])


def copy_of(moving_set, tmp_path):
    """The same set with its flow copied, so that it can be spoilt."""
    root, _ = moving_set
    folder = tmp_path / 'flow'
    folder.mkdir()
    for file in (root / 'flow').iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return root, folder, {**helpers.load_flow(root), 'folder': str(folder)}


def test_missing_flow_is_found_before_training(moving_set, tmp_path):
    root, folder, load = copy_of(moving_set, tmp_path)
    (folder / 'b.npz').unlink()
    message = r'1 of 2 videos have no optical flow \(.*b.npz\).*tools/data/extract_flow.py CONFIG'
    with pytest.raises(FileNotFoundError, match=message):
        build(root, load)
    (folder / 'a.npz').unlink()
    with pytest.raises(FileNotFoundError, match=r'2 of 2 .*a.npz, …\)'):
        build(root, load)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(fps=10.0), 'was made at 10 frames per second, frames are sampled at 5'),
        (dict(short_side=54), 'was made at a short side of 54 pixels, the config asks for None'),
        (dict(steps=16), 'has 16 steps, the video 17 frames'),
        (dict(method='tvl1'), r'different methods .*a.npz \(dis\) and .*b.npz \(tvl1\)'),
    ],
)
def test_flow_that_does_not_fit_is_found_before_training(moving_set, tmp_path, changes, message):
    root, folder, load = copy_of(moving_set, tmp_path)
    header = read_header(folder / 'b.npz')
    flow = read_flow(folder / 'b.npz', 0, changes.pop('steps', header.steps))
    settings = dict(method='dis', fps=5.0, short_side=None)
    write_flow(folder / 'b.npz', flow, **{**settings, **changes})
    with pytest.raises(ValueError, match=message) as raised:
        build(root, load)
    assert 'b.npz' in str(raised.value) and '--overwrite' in str(raised.value)


def test_damaged_flow_is_found_before_training(moving_set, tmp_path):
    root, folder, load = copy_of(moving_set, tmp_path)
    (folder / 'b.npz').write_bytes((folder / 'b.npz').read_bytes()[:-50])
    with pytest.raises(VideoReadError, match=r'b.npz is damaged.*extract_flow.py'):
        build(root, load)


def test_flow_of_another_picture_size(moving_set, tmp_path):
    """Frames that were stored again at another size; the header cannot tell."""
    root, folder, load = copy_of(moving_set, tmp_path)
    write_flow(folder / 'a.npz', np.zeros((30, 9, 12, 2)), method='dis', fps=5.0, short_side=None)
    dataset = build(root, helpers.FRAMES, load)
    with pytest.raises(VideoReadError, match=r'a.npz is 9x12 pixels .* frames are 64x80: put'):
        dataset[0]


@pytest.mark.parametrize('served', [(None, (0, None)), (9, (4, 8))], ids=['whole', 'windows'])
def test_features_have_no_flow(moving_set, served):
    root, _ = moving_set
    steps, window = served
    transform = TRANSFORMS.build(helpers.load_flow(root))
    with pytest.raises(ValueError, match="source='video' or 'frames'"):
        transform.check_videos([dict(video_id='a', window=window, feature_steps=steps)])


def test_evenly_sampled_videos(moving_set, tmp_path):
    """Videos sampled at a number of frames, each at a rate of its own."""
    root, _ = moving_set
    settings = dict(sample_fps=None, window=None, num_samples=12)
    load = {**helpers.load_flow(root), 'folder': str(tmp_path / 'flow')}
    dataset = helpers.dataset_config(root, [load], **settings)
    config = helpers.write_config(tmp_path / 'config.py', dataset)
    assert extract_flow.main([str(config), '--method', 'dis', '--workers', '1']) == 0
    for window in build(root, load, **settings):
        assert window['flow'].shape == (12, helpers.HEIGHT, helpers.WIDTH, 2)
    header = read_header(tmp_path / 'flow' / 'a.npz')
    assert (header.steps, header.fps) == (12, 2.0)


def test_flow_alone_has_no_colours_to_distort(moving_set):
    root, _ = moving_set
    dataset = build(root, helpers.load_flow(root), dict(type='PhotometricDistortion'))
    with pytest.raises(ValueError, match=r'video "a": .* leave it out where only optical flow'):
        dataset[0]
