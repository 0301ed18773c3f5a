"""Geometric augmentation: one draw for a window, and flow that still fits the frames."""

import cv2
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

import mmtad_decomp
from mmtad_decomp.datasets.transforms import (
    CenterSpatialCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomSpatialCrop,
    ResizeShortSide,
)

HEIGHT, WIDTH = 80, 112
STEPS = 4


def smooth(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """An analytic picture in [0, 255] whose detail is large against a pixel."""
    return 127 + 60 * np.sin(x / 7 + y / 11) + 60 * np.cos(y / 6 - x / 17)


def moving_window(velocity: tuple[float, float]) -> dict:
    """Frames of the picture moving by ``velocity`` (x, y) pixels a frame, and their exact flow."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    frames = [smooth(y - velocity[1] * t, x - velocity[0] * t) for t in range(STEPS)]
    frames = np.rint(np.stack([np.stack(frames)] * 3, axis=-1)).astype(np.uint8)
    flow = np.broadcast_to(np.float32(velocity), (STEPS, HEIGHT, WIDTH, 2)).copy()
    return dict(video_id='v', frames=frames, flow=flow)


def warping_error(results: dict, flow: np.ndarray | None = None) -> float:
    """Mean difference of each frame to the next one fetched back along the flow, inside."""
    frames = results['frames'][..., 0].astype(np.float32)
    flow = results['flow'] if flow is None else flow
    height, width = frames.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    top, left = height // 4, width // 4
    errors = []
    for t in range(STEPS - 1):
        fetched = cv2.remap(
            frames[t + 1], x + flow[t, ..., 0], y + flow[t, ..., 1], cv2.INTER_LINEAR
        )
        difference = np.abs(fetched - frames[t])[top : height - top, left : width - left]
        errors.append(difference.mean())
    return float(np.mean(errors))


TRANSFORMATIONS = {
    'none': [],
    'flip': [RandomHorizontalFlip(prob=1)],
    'rotation': [RandomRotation(degrees=45, prob=1)],
    'enlarge': [ResizeShortSide(128)],
    'shrink': [ResizeShortSide(48)],
    'crop': [RandomSpatialCrop((60, 90))],
    'centre': [CenterSpatialCrop(64)],
    'all': [
        ResizeShortSide(100),
        RandomRotation(degrees=45, prob=1),
        RandomSpatialCrop(80),
        RandomHorizontalFlip(prob=1),
    ],
}


@pytest.mark.parametrize('name', list(TRANSFORMATIONS))
@pytest.mark.parametrize('velocity', [(3.0, 0.0), (-1.5, 2.5)])
def test_flow_follows_the_frames(name, velocity):
    for seed in range(3):
        np.random.seed(seed)
        results = moving_window(velocity)
        still = results['flow'].copy()
        for transform in TRANSFORMATIONS[name]:
            results = transform(results)
        assert results['frames'].dtype == np.uint8 and results['flow'].dtype == np.float32
        assert results['frames'].shape[:3] == results['flow'].shape[:3]
        assert warping_error(results) < 2.5, 'the flow explains the motion'
        without = warping_error(results, np.zeros_like(results['flow']))
        assert without > 10, 'and the motion is there'
        if name in ('flip', 'rotation', 'enlarge', 'shrink', 'all'):
            height, width = results['flow'].shape[1:3]
            unturned = np.broadcast_to(still[0, 0, 0], (STEPS, height, width, 2))
            assert warping_error(results, unturned) > 2 * warping_error(results)


def test_flip_and_rotation_by_hand():
    window = moving_window((3.0, 1.0))
    picture = window['frames'].copy()
    flipped = RandomHorizontalFlip(prob=1)(window)
    np.testing.assert_array_equal(flipped['frames'], picture[:, :, ::-1])
    np.testing.assert_allclose(flipped['flow'][..., 0], -3)
    np.testing.assert_allclose(flipped['flow'][..., 1], 1)

    turn = RandomRotation(prob=1)
    turn.draw = lambda height, width: (90.0,)
    square = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(1, 5, 5, 3)
    flow = np.tile(np.float32([1, 0]), (1, 5, 5, 1))
    turned = turn(dict(video_id='v', frames=square, flow=flow))
    np.testing.assert_array_equal(turned['frames'][0], np.rot90(square[0]))
    np.testing.assert_allclose(turned['flow'][0, 2, 2], [0, -1], atol=1e-6)


def test_corners_are_reflected_with_their_flow():
    """Equal to rotating a picture that was reflected on all sides before, as E2E-TAD's border."""
    window = moving_window((3.0, 1.0))
    bright = np.clip(window['frames'], 50, None)
    pad = 60
    sides = dict(top=pad, bottom=pad, left=pad, right=pad, borderType=cv2.BORDER_REFLECT_101)
    wide = np.stack([cv2.copyMakeBorder(frame, **sides) for frame in bright])
    flow = np.pad(window['flow'], ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode='reflect')
    flow[:, :, :pad, 0] *= -1
    flow[:, :, -pad:, 0] *= -1
    flow[:, :pad, :, 1] *= -1
    flow[:, -pad:, :, 1] *= -1
    turn = RandomRotation(prob=1)
    turn.draw = lambda height, width: (30.0,)
    got = turn(dict(video_id='v', frames=bright, flow=window['flow']))
    assert got['frames'].min() >= 50, 'no black corner'
    wanted = turn(dict(video_id='v', frames=wide, flow=flow))
    inner = np.s_[:, pad:-pad, pad:-pad]
    assert np.abs(got['frames'].astype(int) - wanted['frames'][inner]).max() <= 4
    # vectors turn by the sign beside a border, so the pixels across it may differ
    differs = np.abs(got['flow'] - wanted['flow'][inner]).max(axis=(0, -1)) > 1e-3
    assert differs.mean() < 0.06


@pytest.mark.parametrize('name', list(TRANSFORMATIONS))
def test_one_draw_for_all_frames(name):
    """A clip in which nothing moves stays one in which nothing moves."""
    for seed in range(5):
        np.random.seed(seed)
        results = moving_window((0.0, 0.0))
        for transform in TRANSFORMATIONS[name]:
            results = transform(results)
        assert (results['frames'] == results['frames'][:1]).all()
        assert results['frames'].std() > 10


def test_draws_differ_between_windows_and_respect_probability():
    np.random.seed(0)
    window = moving_window((0.0, 0.0))
    corners = {tuple(RandomSpatialCrop(64).draw(HEIGHT, WIDTH)) for _ in range(50)}
    assert len(corners) > 30
    corners = {RandomSpatialCrop(4).draw(height=6, width=5) for _ in range(200)}
    assert corners == {(top, left) for top in range(3) for left in range(2)}
    assert CenterSpatialCrop(4).draw(height=10, width=6) == (3, 1)
    angles = [RandomRotation(45, prob=1).draw(HEIGHT, WIDTH)[0] for _ in range(200)]
    assert min(angles) < -35 and max(angles) > 35 and max(map(abs, angles)) <= 45
    for kind in (RandomHorizontalFlip, RandomRotation):
        drawn = [kind(prob=0.3).draw(HEIGHT, WIDTH) is not None for _ in range(1000)]
        assert 0.25 < np.mean(drawn) < 0.35
        untouched = kind(prob=0)(dict(window))
        assert untouched['frames'] is window['frames']


def test_flow_scales_with_the_whole_pixels_of_each_side():
    window = dict(flow=np.ones((1, 80, 112, 2), np.float32))
    flow = ResizeShortSide(32)(window)['flow']
    assert flow.shape == (1, 32, 45, 2)  # 44.8 pixels wide
    np.testing.assert_allclose(flow[0, 5, 5], [45 / 112, 32 / 80], rtol=1e-6)


def test_frames_alone():
    window = moving_window((1.0, 0.0))
    del window['flow']
    cropped = CenterSpatialCrop((40, 60))(ResizeShortSide(50)(window))
    assert cropped['frames'].shape == (STEPS, 40, 60, 3) and 'flow' not in cropped
    assert ResizeShortSide(40)(cropped)['frames'].shape == (STEPS, 40, 60, 3)


@pytest.mark.parametrize('crop', [RandomSpatialCrop, CenterSpatialCrop])
@pytest.mark.parametrize('size', [(57, 32), (32, 32), (32, 40), (29, 33)])
@pytest.mark.parametrize('turned', [False, True])
def test_a_video_of_another_shape_is_scaled_up_to_cover_the_crop(crop, size, turned):
    wanted = (28, 42)
    if turned:
        size, wanted = size[::-1], wanted[::-1]
    scale = max(wanted[0] / size[0], wanted[1] / size[1])
    # Two ramps, so that pixels and flow say how far they were scaled.
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    frames = np.stack([rows, columns, rows], axis=-1)[None]
    window = dict(video_id='v', frames=frames, flow=np.ones((1, *size, 2), np.float32))
    cut = crop(wanted)
    results = [cut(dict(window)) for _ in range(3)]
    assert cut.scaled_up == {'v'}
    for result in results:
        assert result['frames'].shape == (1, *wanted, 3)
        assert result['flow'].shape == (1, *wanted, 2)
        for axis, ramp in enumerate((result['frames'][0, :, 0, 0], result['frames'][0, 0, :, 1])):
            seen = int(ramp[-1]) - int(ramp[0])
            assert seen == pytest.approx((wanted[axis] - 1) / scale, abs=2)
        np.testing.assert_allclose(result['flow'], scale, rtol=0.05)
    assert window['frames'] is frames and frames.shape == (1, *size, 3)


def test_frames_that_hold_the_crop_are_not_scaled():
    window = moving_window((0, 0))
    crop = CenterSpatialCrop((80, 112))
    np.testing.assert_array_equal(crop(dict(window))['frames'], window['frames'])
    assert not crop.scaled_up


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match=r'crop 96x96 .* frames of 80x112: raise short_side'):
        RandomSpatialCrop(96)(moving_window((0, 0)))
    with pytest.raises(ValueError, match=r'cannot crop 90x200'):
        CenterSpatialCrop((90, 200))(moving_window((0, 0)))
    window = moving_window((0, 0))
    window['flow'] = window['flow'][:, :40]
    with pytest.raises(ValueError, match=r'video "v": "flow" is \(40, 112\) .*load both at one'):
        RandomHorizontalFlip(prob=1)(window)
    with pytest.raises(ValueError, match='put a loader before it'):
        RandomHorizontalFlip()(dict(video_id='v'))


def test_registered():
    assert mmtad_decomp.__version__
    assert TRANSFORMS.get('RandomRotation') is RandomRotation
