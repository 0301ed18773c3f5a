"""The conversion between steps and seconds."""

import numpy as np
import pytest
import torch

from mmtad_decomp.structures import TimeGrid


def test_hand_computed_times():
    frames = TimeGrid(fps=10, start=256)
    assert frames.to_seconds(0) == pytest.approx(25.65), 'centre of frame 256'
    assert frames.to_seconds(-0.5) == pytest.approx(25.6), 'where the window begins'
    assert frames.to_seconds(255.5) == pytest.approx(51.2), 'where a window of 256 ends'
    features = TimeGrid(fps=30, stride=4, offset=8)
    assert features.to_seconds(0) == pytest.approx(8 / 30), 'ActionFormer: half of 16 frames'
    assert features.to_seconds(10) == pytest.approx(48 / 30)
    assert features.to_steps(48 / 30) == pytest.approx(10)
    assert frames.edges(0, 256) == pytest.approx((25.6, 51.2))
    assert features.edges(1, 3) == pytest.approx((10 / 30, 18 / 30)), 'half a stride of 4'


def test_coarse_steps_lie_in_the_middle_of_what_they_pool():
    grid = TimeGrid(fps=12.5, start=32)
    for stride in (1, 2, 4, 8):
        coarse = grid.coarsen(stride)
        for step in (0, 1, 7):
            pooled = [grid.to_seconds(step * stride + i) for i in range(stride)]
            assert coarse.to_seconds(step) == pytest.approx(np.mean(pooled), abs=1e-12)
    assert grid.coarsen(2).coarsen(2) == grid.coarsen(4)
    assert grid.coarsen(4).to_seconds(-0.5) == pytest.approx(32 / 12.5), 'edges stay'
    features = TimeGrid(fps=30, stride=4, offset=8, start=100).coarsen(4)
    assert (features.stride, features.offset, features.start) == (16, 14, 100)


def test_coarse_steps_may_be_centred_elsewhere():
    grid = TimeGrid(fps=10, stride=2, offset=1, start=40)
    coarse = grid.coarsen(8, offset=5)
    assert (coarse.stride, coarse.offset, coarse.start) == (16, 11, 40)
    for step in (0, 1, 7):
        assert coarse.to_seconds(step) == pytest.approx(grid.to_seconds(8 * step + 5))
    assert grid.coarsen(8, offset=3.5) == grid.coarsen(8)


@pytest.mark.parametrize('fps', [6.25, 10, 12.5, 30000 / 1001, 60])
@pytest.mark.parametrize(('stride', 'offset'), [(1, 0.5), (4, 8), (2.5, 1.25)])
def test_round_trip(fps: float, stride: float, offset: float):
    rng = np.random.default_rng(0)
    seconds = rng.uniform(0, 20_000, 1000)
    for start in (0, 1, 777, 199_999):
        grid = TimeGrid(fps, stride, offset, start)
        for version in (grid, grid.coarsen(4), grid.coarsen(3)):
            assert np.abs(version.to_seconds(version.to_steps(seconds)) - seconds).max() < 1e-6
            tensor = torch.from_numpy(seconds)
            back = version.to_seconds(version.to_steps(tensor))
            assert (back - tensor).abs().max() < 1e-6


@pytest.mark.parametrize(('fps', 'stride'), [(0, 1), (-5, 1), (10, 0), (float('nan'), 1)])
def test_impossible_grids(fps: float, stride: float):
    with pytest.raises(ValueError, match=r'fps > 0 and stride > 0'):
        TimeGrid(fps, stride)
