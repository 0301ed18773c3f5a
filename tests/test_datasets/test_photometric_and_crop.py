"""Photometric augmentation, and cropping and resizing of features."""

import cv2
import numpy as np
import pytest

from mmtad_decomp.datasets.transforms import (
    PackTADInputs,
    PhotometricDistortion,
    RandomFeatureCrop,
    ResizeFeatures,
)
from mmtad_decomp.structures import TimeGrid


def test_static_clips_stay_static_and_uint8():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    changed = 0
    for seed in range(30):
        np.random.seed(seed)
        frames = np.stack([frame] * 5)
        got = PhotometricDistortion()(dict(frames=frames))['frames']
        assert got.dtype == np.uint8 and got.shape == frames.shape
        assert (got == got[:1]).all(), 'all frames alike'
        changed += not np.array_equal(got, frames)
        assert np.array_equal(frames[0], frame), 'the source is left as it is'
    assert changed > 8


def test_shares_of_e2e_tad():
    """Half of the windows are left alone; of the distorted half, half have permuted channels."""
    np.random.seed(0)
    frames = np.full((1, 1, 1, 3), (200, 120, 40), dtype=np.uint8)
    seen = [PhotometricDistortion()(dict(frames=frames))['frames'] for _ in range(2000)]
    distorted = [one for one in seen if one is not frames]
    assert 0.45 < len(distorted) / len(seen) < 0.55
    # 5 of the 6 orders of the half that is permuted put the channels out of order
    permuted = [tuple(np.argsort(one[0, 0, 0], kind='stable')) != (2, 1, 0) for one in distorted]
    assert 0.5 * 5 / 6 - 0.06 < np.mean(permuted) < 0.5 * 5 / 6 + 0.06


@pytest.fixture
def certain(monkeypatch):
    """A distortion whose draws are what a test says; what it leaves out is not drawn."""

    def build(shift=None, gain=None, saturation=None, hue=0.0, first=True, order=None):
        drawn = [shift, gain, saturation, order]
        flags = [value is not None for value in drawn]
        coins = iter([flags[0], first, *flags[1:]])
        draws = iter([value for value in (shift, gain, saturation, hue) if value is not None])
        monkeypatch.setattr(np.random, 'randint', lambda high: next(coins))
        monkeypatch.setattr(np.random, 'uniform', lambda low, high: next(draws))
        monkeypatch.setattr(np.random, 'permutation', lambda count: list(order))
        return PhotometricDistortion(prob=1)

    return build


@pytest.mark.parametrize('first', [True, False])
def test_brightness_and_contrast_by_formula(certain, first):
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    for shift, gain in ((10.0, 1.3), (-32.0, 0.5), (32.0, 0.5)):
        got = certain(shift=shift, gain=gain, first=first)(dict(frames=frames))['frames']
        wanted = np.clip(np.rint(np.clip(frames + shift, 0, 255) * gain), 0, 255)
        np.testing.assert_array_equal(got, wanted)


def test_saturation_hue_and_channels(certain):
    red = np.full((2, 4, 4, 3), (200, 40, 40), dtype=np.uint8)
    grey = np.full((2, 4, 4, 3), 120, dtype=np.uint8)
    pale = certain(saturation=0.5)(dict(frames=red))['frames'][0, 0, 0]
    assert pale[0] == 200 and pale[1] == pale[2] and abs(int(pale[1]) - 120) <= 2
    for hue in (18, -18):
        turned = certain(hue=hue)(dict(frames=red))['frames']
        hsv = cv2.cvtColor(turned[0], cv2.COLOR_RGB2HSV)[0, 0]
        assert abs(int(hsv[0]) * 2 - hue % 360) <= 2
        np.testing.assert_array_equal(certain(hue=hue)(dict(frames=grey))['frames'], grey)
    blue = certain(order=(1, 2, 0))(dict(frames=red))['frames']
    np.testing.assert_array_equal(blue, red[..., ::-1])


def features(steps: int, segments: list, start: int = 0) -> dict:
    return dict(
        video_id='v',
        duration=1000.0,
        window=(0, steps),
        features=np.tile(np.arange(steps, dtype=np.float32), (2, 1)),
        time_grid=TimeGrid(fps=30, stride=4, offset=8, start=start),
        segments=np.array(segments, dtype=np.float64).reshape(-1, 2),
        labels=np.arange(len(segments)),
    )


def test_crops_move_features_and_time_together():
    whole = features(500, [(10, 20), (30, 32), (50, 60)])
    for seed in range(50):
        np.random.seed(seed)
        got = RandomFeatureCrop(max_length=100, min_visible=0.5)(dict(whole))
        start, stop = got['window']
        assert stop - start == 100 == got['features'].shape[1]
        np.testing.assert_array_equal(got['features'][0], np.arange(start, stop))
        assert got['time_grid'].to_seconds(0) == pytest.approx(
            whole['time_grid'].to_seconds(start)
        )
        begin, end = got['time_grid'].to_seconds(-0.5), got['time_grid'].to_seconds(99.5)
        wanted = [
            (max(s, begin), min(e, end), label)
            for (s, e), label in zip(whole['segments'], whole['labels'])
            if (min(e, end) - max(s, begin)) / (e - s) >= 0.5
        ]
        assert wanted, 'at least one ground truth stays'
        rows = [(*segment, label) for segment, label in zip(got['segments'], got['labels'])]
        np.testing.assert_allclose(rows, wanted)
        PackTADInputs()(got)


@pytest.mark.parametrize(
    'segments', [[(0.0, 66.0)], [(33.0, 33.4)], [(0.3, 0.5)], [(66.3, 66.4)], [(66, 90)]]
)
def test_a_ground_truth_stays_even_where_chance_finds_none(segments):
    for seed in range(20):
        np.random.seed(seed)
        crop = RandomFeatureCrop(max_length=40, min_visible=0.9, trials=2)
        got = crop(features(500, segments))
        assert len(got['labels']) == 1
        assert (got['segments'][:, 1] > got['segments'][:, 0]).all()
        if segments == [(0.0, 66.0)]:  # seen from 0.2 s on; the crop lies in its middle
            assert got['time_grid'].to_seconds(39 / 2) == pytest.approx(33.1, abs=2 / 30)


def test_every_crop_is_drawn():
    np.random.seed(0)
    crops = [RandomFeatureCrop(max_length=8)(features(10, []))['window'] for _ in range(50)]
    assert set(crops) == {(0, 8), (1, 9), (2, 10)}


def test_ground_truth_behind_the_features_does_not_stop_it():
    got = RandomFeatureCrop(max_length=40)(features(500, [(900, 910)]))
    assert got['features'].shape[1] == 40 and len(got['labels']) == 0
    got = RandomFeatureCrop(max_length=40)(features(500, []))
    assert got['features'].shape[1] == 40


def test_short_videos():
    lengths = set()
    for seed in range(100):
        np.random.seed(seed)
        got = RandomFeatureCrop(max_length=200, crop_ratio=(0.9, 1.0))(features(100, [(1, 12)]))
        lengths.add(got['features'].shape[1])
    assert min(lengths) >= 90 and max(lengths) <= 100 and len(lengths) > 5
    whole = features(100, [(1, 12)])
    assert RandomFeatureCrop(max_length=200, crop_ratio=None)(whole) is whole
    one = RandomFeatureCrop(max_length=200)(features(1, [(0.2, 0.3)]))
    assert one['features'].shape[1] == 1


@pytest.mark.parametrize(('length', 'steps'), [(100, 192), (500, 192), (192, 192), (1, 5)])
def test_resized_features_stay_at_their_times(length, steps):
    whole = features(length, [(1, 12)])
    whole['motion_features'] = whole['features'][:1] * 2
    grid = whole['time_grid']
    got = ResizeFeatures(steps)(whole)
    sample = PackTADInputs()(got)['data_samples']
    assert (sample.window, sample.num_steps) == ((0, steps), steps)
    np.testing.assert_array_equal(sample.gt_instances.segments, [(1, 12)])
    # a feature's value is its step, so the time of a value is known; ends repeat the last step
    times = got['time_grid'].to_seconds(np.arange(steps))
    inside = (grid.to_seconds(0) <= times) & (times <= grid.to_seconds(length - 1))
    np.testing.assert_allclose(grid.to_seconds(got['features'][0])[inside], times[inside], 1e-5)
    np.testing.assert_allclose(got['motion_features'][0], got['features'][0] * 2, 1e-6)
    assert got['time_grid'].to_seconds(-0.5) == pytest.approx(grid.to_seconds(-0.5))
    cropped = RandomFeatureCrop(max_length=3, crop_ratio=None)(dict(got))
    assert cropped['time_grid'].to_seconds(0) == pytest.approx(times[cropped['window'][0]])


def test_what_cannot_be_resized():
    with pytest.raises(ValueError, match=r'steps must be at least 1, got 0'):
        ResizeFeatures(0)
    with pytest.raises(ValueError, match=r'video "v": ResizeFeatures resizes whole videos'):
        ResizeFeatures(5)(RandomFeatureCrop(max_length=8, crop_ratio=None)(features(10, [])))


def test_nothing_to_pack():
    window = features(3, [])
    del window['features']
    with pytest.raises(ValueError, match=r'put a loader .* before PackTADInputs'):
        PackTADInputs()(window)
