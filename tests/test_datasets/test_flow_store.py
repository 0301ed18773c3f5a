"""Flow files: what is read back, and what is refused."""

import json
import zipfile

import numpy as np
import pytest

from mmtad_decomp.datasets import VideoReadError
from mmtad_decomp.datasets.flow_store import (
    CHUNK,
    LARGEST_BOUND,
    read_flow,
    read_header,
    write_flow,
)

SETTINGS = dict(method='dis', fps=12.5, short_side=9)


def fields(steps: int, scale: float = 5.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (steps, 9, 12, 2)).astype(np.float32)


@pytest.mark.parametrize('bound', [3.0, 20.0, 500.0])
def test_reads_back_within_the_recorded_error(tmp_path, bound):
    flow = fields(2 * CHUNK + 5, scale=bound / 2)
    flow[0, 0, 0] = bound  # is not clipped
    header = write_flow(tmp_path / 'v.npz', flow, bound=bound, **SETTINGS)
    assert header == read_header(tmp_path / 'v.npz')
    back = read_flow(tmp_path / 'v.npz', 0, len(flow))
    assert back.dtype == np.float32 and back.shape == flow.shape
    assert header.error < 0.1 / 2
    inside = np.abs(flow) <= bound
    assert 0.01 < (~inside).mean() < 0.1
    difference = np.abs(back.astype(np.float64) - flow)
    assert difference[inside].max() <= header.error + 1e-6 * bound
    np.testing.assert_allclose(np.abs(back[~inside]), bound, atol=header.error)
    assert (np.sign(back[~inside]) == np.sign(flow[~inside])).all()
    assert header.clipped == (~inside).mean() and header.bound == bound
    assert header.rms == pytest.approx(np.sqrt(np.mean(flow.astype(np.float64) ** 2)))
    assert (header.steps, header.height, header.width) == flow.shape[:3]
    assert (header.method, header.fps, header.short_side) == ('dis', 12.5, 9)


@pytest.mark.parametrize('steps', [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_windows_are_pieces_of_the_whole(tmp_path, steps):
    write_flow(tmp_path / 'v.npz', fields(steps), **SETTINGS)
    whole = read_flow(tmp_path / 'v.npz', 0, steps)
    spans = {(0, 1), (steps - 1, steps), (CHUNK - 1, CHUNK + 1), (5, 2 * CHUNK + 1)}
    for start, stop in spans | {(CHUNK, 2 * CHUNK)}:
        if stop <= steps:
            window = read_flow(tmp_path / 'v.npz', start, stop)
            np.testing.assert_array_equal(window, whole[start:stop])


def test_zero_stays_zero_and_is_small(tmp_path):
    still = np.zeros((CHUNK, 54, 72, 2), dtype=np.float32)
    write_flow(tmp_path / 'v.npz', still, **SETTINGS)
    assert not read_flow(tmp_path / 'v.npz', 0, CHUNK).any()
    assert (tmp_path / 'v.npz').stat().st_size < still.size / 100


def test_numpy_opens_the_file_and_equal_flow_gives_equal_bytes(tmp_path):
    flow = fields(CHUNK + 3)
    for name in ('a', 'b'):
        write_flow(tmp_path / f'{name}.npz', iter(flow), **SETTINGS)
    assert (tmp_path / 'a.npz').read_bytes() == (tmp_path / 'b.npz').read_bytes()
    with np.load(tmp_path / 'a.npz') as content:
        header = json.loads(content['header.json'])
        pieces = [content[name] for name in content.files if name != 'header.json']
    stored = np.concatenate(pieces).transpose(0, 2, 3, 1) * header['unit']
    np.testing.assert_array_equal(stored.astype(np.float32), read_flow(tmp_path / 'a.npz', 0, 35))


def test_nothing_is_left_of_a_failed_file(tmp_path):
    def breaking():
        yield from fields(CHUNK + 1)
        raise RuntimeError('the video ends here')

    path = tmp_path / 'v.npz'
    with pytest.raises(RuntimeError, match='ends here'):
        write_flow(path, breaking(), **SETTINGS)
    assert not list(tmp_path.iterdir())
    write_flow(path, fields(3), **SETTINGS)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match='ends here'):
        write_flow(path, breaking(), **SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ['v.npz'] and path.read_bytes() == before


def test_one_piece_is_in_memory_at_a_time(tmp_path):
    import weakref

    alive: list[weakref.ref] = []

    def watched():
        for step in range(4 * CHUNK):
            flow = np.full((9, 12, 2), step, dtype=np.float32)
            alive.append(weakref.ref(flow))
            assert sum(ref() is not None for ref in alive) <= CHUNK + 1
            yield flow

    write_flow(tmp_path / 'v.npz', watched(), **{**SETTINGS, 'bound': 500.0})
    assert read_flow(tmp_path / 'v.npz', 100, 101).mean() == 100


@pytest.mark.parametrize('bound', [0.0, -1.0, LARGEST_BOUND * 2, float('nan')])
def test_bounds_that_cannot_be_stored(tmp_path, bound):
    with pytest.raises(ValueError, match='bound must be above 0 and at most 511'):
        write_flow(tmp_path / 'v.npz', fields(2), bound=bound, **SETTINGS)


def test_flow_that_cannot_be_stored(tmp_path):
    path = tmp_path / 'v.npz'
    broken = fields(CHUNK + 2)
    broken[CHUNK + 1, 2, 3, 0] = np.nan
    with pytest.raises(ValueError, match=f'steps {CHUNK} to {CHUNK + 1} is not finite'):
        write_flow(path, broken, **SETTINGS)
    with pytest.raises(ValueError, match='different shapes'):
        write_flow(path, [fields(1)[0], fields(1)[0][:, :5]], **SETTINGS)
    larger = [*fields(CHUNK), *np.zeros((2, 20, 20, 2), dtype=np.float32)]
    with pytest.raises(ValueError, match=r'from step 32 on have shape \(20, 20, 2\)'):
        write_flow(path, larger, **SETTINGS)
    with pytest.raises(ValueError, match=r'wanted \(H, W, 2\)'):
        write_flow(path, fields(2)[..., :1], **SETTINGS)
    with pytest.raises(ValueError, match='no flow to write'):
        write_flow(path, [], **SETTINGS)
    assert not path.exists()


def test_files_that_are_damaged_or_too_short(tmp_path):
    path = tmp_path / 'v.npz'
    with pytest.raises(FileNotFoundError):
        read_header(path)
    write_flow(path, fields(40), **SETTINGS)
    for start, stop in ((0, 41), (-1, 3), (5, 5)):
        with pytest.raises(VideoReadError, match=r'v.npz has 40 steps.*extract_flow.py'):
            read_flow(path, start, stop)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoReadError, match=r'v.npz is damaged .*extract_flow.py'):
        read_header(path)
    middle = len(whole) // 4
    path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    with pytest.raises(VideoReadError, match='is damaged'):
        read_flow(path, 0, 40)
    path.write_bytes(b'something else')
    with pytest.raises(VideoReadError, match='no flow file'):
        read_flow(path, 0, 1)


def test_a_large_still_scene_is_read(tmp_path):
    """Deflate makes a thousandth of it; that is no bomb, since the header gives its size."""
    steps = CHUNK
    write_flow(tmp_path / 'v.npz', (np.zeros((576, 1024, 2), np.float32),) * steps, **SETTINGS)
    with zipfile.ZipFile(tmp_path / 'v.npz') as archive:
        stored = archive.getinfo('000000.npy')
        assert stored.file_size > max(64 << 20, 500 * stored.compress_size)
    assert read_header(tmp_path / 'v.npz').steps == steps
    flow = read_flow(tmp_path / 'v.npz', steps - 2, steps)
    assert flow.shape == (2, 576, 1024, 2) and not flow.any()


@pytest.mark.parametrize('steps', [3, CHUNK + 3])
def test_members_larger_than_the_header_says_are_refused(tmp_path, steps):
    """However small they are in the file; another piece and the header are as they should be."""
    write_flow(tmp_path / 'v.npz', fields(steps), **SETTINGS)
    last = f'{(steps - 1) // CHUNK:06d}.npy'
    for bomb, size in ((last, 100_000), ('header.json', 65_537)):
        path = tmp_path / f'{bomb}.npz'
        with zipfile.ZipFile(tmp_path / 'v.npz') as good, zipfile.ZipFile(path, 'w', 8) as bad:
            for name in good.namelist():
                content = good.read(name)
                bad.writestr(name, content if name != bomb else content.ljust(size))
        with pytest.raises(VideoReadError, match=rf'{bomb} would become {size} bytes, no more'):
            read_flow(path, steps - 1, steps)


def test_a_header_that_allows_large_pieces_is_refused(tmp_path):
    write_flow(tmp_path / 'v.npz', fields(3), **SETTINGS)
    with zipfile.ZipFile(tmp_path / 'v.npz') as archive:
        header = json.loads(archive.read('header.json'))
    with zipfile.ZipFile(tmp_path / 'w.npz', 'w') as archive:
        archive.writestr('header.json', json.dumps(dict(header, height=1 << 20, width=1 << 20)))
    with pytest.raises(VideoReadError, match=r'header\.json holds wrong values'):
        read_header(tmp_path / 'w.npz')


def test_a_later_format_and_other_archives_are_refused(tmp_path):
    path = tmp_path / 'v.npz'
    np.savez(path, flow=fields(3))
    with pytest.raises(VideoReadError, match='no flow file'):
        read_header(path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('header.json', json.dumps(dict(format=2)))
    with pytest.raises(VideoReadError, match='its format is 2, this version reads 1'):
        read_header(path)
