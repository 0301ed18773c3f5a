"""Extraction of optical flow from videos whose motion is known."""

import os
from pathlib import Path

import flow_helpers as helpers
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

import mmtad_decomp  # noqa: F401
from mmtad_decomp.datasets.flow_store import read_flow, read_header
from tools.data import extract_flow
from tools.data.common import parallel
from tools.data.flow import jobs as flow_jobs
from tools.data.flow.estimators import METHODS, flow_of_frames


@pytest.fixture
def moving_set(tmp_path):
    """Three videos of moving texture, a config that loads their flow, and their offsets."""
    places = helpers.write_set(tmp_path, dict(a=24, b=6, c=13))
    dataset = helpers.dataset_config(tmp_path, [helpers.load_flow(tmp_path)])
    return tmp_path, helpers.write_config(tmp_path / 'config.py', dataset), places


def run(config: Path, *flags: str) -> int:
    return extract_flow.main([str(config), '--workers', '1', '--method', 'dis', *flags])


def files(root: Path) -> dict[str, int]:
    """Flow files and when they were written."""
    return {p.name: p.stat().st_mtime_ns for p in sorted((root / 'flow').iterdir())}


@pytest.mark.parametrize('method', list(METHODS))
def test_known_motion(method):
    places = helpers.offsets(5, seed=3)
    picture = helpers.texture()
    frames = [helpers.moved_picture(picture, place) for place in places]
    flow = np.stack(list(flow_of_frames(frames, METHODS[method]())))
    assert flow.shape == (5, helpers.HEIGHT, helpers.WIDTH, 2) and flow.dtype == np.float32
    wanted = np.diff(places, axis=0)
    for step, motion in enumerate([wanted[0], *wanted]):
        error = np.abs(helpers.inner(flow[step]) - motion)
        assert np.median(error) < 0.1 and np.percentile(error, 95) < 0.3
    assert np.abs(wanted[0] - wanted[1]).max() > 0.5, 'neighbouring steps can be told apart'


@pytest.mark.parametrize('method', list(METHODS))
def test_one_frame_and_stillness(method):
    frame = helpers.moved_picture(helpers.texture(), np.zeros(2))
    alone = list(flow_of_frames([frame], METHODS[method]()))
    assert len(alone) == 1 and not alone[0].any()
    assert alone[0].shape == (helpers.HEIGHT, helpers.WIDTH, 2)
    still = np.stack(list(flow_of_frames([frame] * 3, METHODS[method]())))
    assert len(still) == 3 and np.abs(helpers.inner(still)).max() < 0.02
    assert not list(flow_of_frames([], METHODS[method]()))


def test_frames_are_those_of_the_config(moving_set, capsys):
    """Half of the stored rate: step t is the motion between stored frames 2 t - 1 and 2 t + 1."""
    root, config, places = moving_set
    assert run(config) == 0
    for name, offsets in places.items():
        sampled = offsets[1::2] if len(offsets) % 2 == 0 else [*offsets[1::2], offsets[-1]]
        header = read_header(root / 'flow' / f'{name}.npz')
        assert (header.steps, header.fps, header.method) == (len(sampled), 5.0, 'dis')
        assert header.short_side is None and header.bound == 20
        flow = read_flow(root / 'flow' / f'{name}.npz', 0, header.steps)
        motion = np.diff(sampled, axis=0)
        for step, wanted in enumerate([motion[0], *motion]):
            assert np.abs(np.median(helpers.inner(flow[step]), axis=(0, 1)) - wanted).max() < 0.1
    assert 'flow of 3 videos, 3 made now' in capsys.readouterr().out


def test_short_side(tmp_path):
    helpers.write_set(tmp_path, dict(a=6))
    dataset = helpers.dataset_config(tmp_path, [helpers.load_flow(tmp_path, short_side=32)])
    assert run(helpers.write_config(tmp_path / 'config.py', dataset)) == 0
    header = read_header(tmp_path / 'flow' / 'a.npz')
    assert (header.height, header.width, header.short_side) == (32, 40, 32)


def test_going_on_after_an_interruption(moving_set, capsys):
    root, config, _ = moving_set
    assert run(config) == 0
    before = files(root)
    (root / 'flow' / 'b.npz').unlink()
    damaged = root / 'flow' / 'c.npz'
    damaged.write_bytes(damaged.read_bytes()[:100])
    left = root / 'flow' / '.b.npz.99-abcd.tmp'
    left.write_bytes(b'what a killed process left')
    capsys.readouterr()
    assert run(config) == 0
    assert 'flow of 3 videos, 2 made now' in capsys.readouterr().out
    after = files(root)
    assert list(after) == ['a.npz', 'b.npz', 'c.npz'] and after['a.npz'] == before['a.npz']
    read_flow(damaged, 0, 7)


def test_flow_made_otherwise_is_replaced_only_if_asked(moving_set, capsys):
    root, config, _ = moving_set
    assert run(config) == 0
    before = files(root)
    assert run(config, '--bound', '5') == 1
    assert files(root) == before
    errors = capsys.readouterr().err
    assert 'a.npz was made by dis with bound 20; use --overwrite' in errors
    assert run(config, '--method', 'farneback', '--overwrite') == 0
    assert read_header(root / 'flow' / 'a.npz').method == 'farneback'
    assert run(config, '--cfg-options', 'train_dataloader.dataset.sample_fps=10') == 1
    assert 'was made at 5 frames per second, frames are sampled at 10' in capsys.readouterr().err


def test_shards_are_disjoint_and_complete(moving_set):
    root, config, _ = moving_set
    jobs = list('abcdefghijk')
    mapping = dict.fromkeys(jobs)
    for shards, world in ((1, 1), (3, 1), (1, 4), (2, 3), (20, 2)):
        parts = [
            list(parallel.share(mapping, (shard, shards), (rank, world)))
            for shard in range(shards)
            for rank in range(world)
        ]
        assert sorted(name for part in parts for name in part) == jobs
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert run(config, '--shard', '2/3') == 0
    assert list(files(root)) == ['c.npz'], 'the second longest'
    assert run(config, '--shard', '3/3') == run(config, '--shard', '1/3') == 0
    assert list(files(root)) == ['a.npz', 'b.npz', 'c.npz']


@pytest.mark.parametrize('text', ['0/2', '3/2', '2', 'a/b', '1/0', '-1/2', '1/2/3', ''])
def test_shards_that_are_none(text):
    with pytest.raises(ValueError, match='--shard must be i/n with i from 1 to n'):
        parallel.parse_shard(text)
    assert parallel.parse_shard('2/4') == (1, 4)


@pytest.mark.parametrize(
    ('launcher', 'rank', 'world'),
    [
        ('pytorch', 'RANK', 'WORLD_SIZE'),
        ('slurm', 'SLURM_PROCID', 'SLURM_NTASKS'),
        ('mpi', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
    ],
)
def test_launchers(moving_set, monkeypatch, capsys, launcher, rank, world):
    root, config, _ = moving_set
    for name in (rank, world):
        monkeypatch.delenv(name, raising=False)
    assert run(config, '--launcher', launcher) == 2
    assert f'{rank} and {world} are not set' in capsys.readouterr().err
    monkeypatch.setenv(rank, '1')
    monkeypatch.setenv(world, '2')
    assert run(config, '--launcher', launcher) == 0
    assert list(files(root)) == ['c.npz']
    assert flow_jobs.launched_part('none') == (0, 1)


def test_memory_is_bounded_and_nothing_is_cached(moving_set, monkeypatch):
    """Decoding a few frames at a time gives the same file, and asks for no more at once."""
    root, config, _ = moving_set
    asked = []
    loader = TRANSFORMS.get('LoadFrameFolder')
    plain = loader.load

    def load(self, results):
        asked.append(results['window'])
        return plain(self, results)

    assert run(config) == 0
    whole = (root / 'flow' / 'a.npz').read_bytes()
    monkeypatch.setattr(loader, 'load', load)
    monkeypatch.setattr(flow_jobs, 'FRAMES_AT_ONCE', 5)
    (root / 'flow' / 'a.npz').unlink()
    assert run(config) == 0
    assert asked == [(0, 5), (5, 10), (10, 12)]
    assert (root / 'flow' / 'a.npz').read_bytes() == whole
    video = dict(type='LoadVideoFrames', short_side=54, cache_dir=str(root / 'cache'))
    job = flow_jobs.Job({}, dict(frames=video), 'dis', 20.0)
    built = []
    monkeypatch.setattr(flow_jobs.TRANSFORMS, 'build', lambda config: built.append(config))
    with pytest.raises(KeyError):
        next(flow_jobs._frames(job))
    assert built == [dict(type='LoadVideoFrames', short_side=54)]


def test_a_broken_video_does_not_stop_the_others(moving_set, capsys):
    root, config, _ = moving_set
    os.unlink(root / 'frames' / 'b' / 'img_00004.png')
    assert run(config) == 1
    assert list(files(root)) == ['a.npz', 'c.npz']
    errors = capsys.readouterr().err
    assert '1 failed' in errors and 'b: ' in errors and 'img_00004.png is missing' in errors


def test_processes(moving_set):
    root, config, _ = moving_set
    assert run(config) == 0
    alone = {p.name: p.read_bytes() for p in (root / 'flow').iterdir()}
    for path in (root / 'flow').iterdir():
        path.unlink()
    assert run(config, '--workers', '2') == 0
    assert {p.name: p.read_bytes() for p in (root / 'flow').iterdir()} == alone


def test_configs_without_flow_and_with_two(moving_set, capsys):
    root, config, _ = moving_set
    plain = helpers.write_config(root / 'plain.py', helpers.dataset_config(root, [helpers.FRAMES]))
    assert run(plain) == 2
    assert 'plain.py: no data set loads optical flow' in capsys.readouterr().err
    other = helpers.dataset_config(root, [helpers.load_flow(root, short_side=32)])
    text = f'val_dataloader = dict(dataset={other!r})\n'
    config.write_text(config.read_text() + text)
    assert run(config) == 2
    assert 'load the flow of video "a" in two ways' in capsys.readouterr().err


def test_a_missing_contrib_module_is_named(monkeypatch):
    monkeypatch.delattr('cv2.optflow')
    with pytest.raises(ValueError, match='pip install opencv-contrib-python'):
        METHODS['tvl1']()
