"""Shared parts of the data scripts."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from data_helpers import make_frames

from tools.data.common import (
    Manifest,
    VideoError,
    atomic_folder,
    atomic_path,
    parallel_map,
    print_failures,
    probe_video,
    read_frames,
    resize_short_side,
    write_video,
)
from tools.data.common.storing import source_indices


def crash(item: int) -> int:
    """For the pool: item 1 kills its process, item 2 raises, the others return."""
    if item == 1:
        import os

        os._exit(1)
    if item == 2:
        raise ValueError('item 2 is bad')
    return 10 * item


def test_video_round_trip(tmp_path: Path):
    path = tmp_path / 'a.mp4'
    frames = make_frames(20)
    assert write_video(path, frames, Fraction(25, 2)) == 20
    info = probe_video(path)
    assert (info.fps, info.num_frames, info.width, info.height) == (Fraction(25, 2), 20, 64, 48)
    assert info.duration == pytest.approx(1.6)
    decoded = list(read_frames(path))
    assert len(decoded) == 20
    assert np.abs(decoded[7].astype(float).mean() - frames[7].mean()) < 10


def test_equal_frames_give_equal_files(tmp_path: Path):
    for name in ('a.mp4', 'b.mp4'):
        write_video(tmp_path / name, make_frames(15), 10)
    assert (tmp_path / 'a.mp4').read_bytes() == (tmp_path / 'b.mp4').read_bytes()


@pytest.mark.parametrize('suffix', ['mp4', 'avi'])
def test_truncated_video_is_named(tmp_path: Path, suffix: str):
    path = tmp_path / f'cut.{suffix}'
    write_video(path, make_frames(60), 10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=rf'cut\.{suffix}: (truncated|cannot be opened)'):
        probe_video(path)


def test_missing_and_empty_videos_are_named(tmp_path: Path):
    with pytest.raises(VideoError, match=r'none\.mp4: no such video file'):
        probe_video(tmp_path / 'none.mp4')
    (tmp_path / 'text.mp4').write_text('not a video')
    with pytest.raises(VideoError, match=r'text\.mp4: cannot be opened'):
        probe_video(tmp_path / 'text.mp4')
    with pytest.raises(VideoError, match='no frames to write'):
        write_video(tmp_path / 'e.mp4', [], 10)


def test_resize_short_side():
    frame = np.zeros((120, 160, 3), np.uint8)
    assert resize_short_side(frame, 60).shape == (60, 80, 3)
    assert resize_short_side(frame, None) is frame
    assert resize_short_side(frame.transpose(1, 0, 2), 61).shape == (82, 60, 3)


@pytest.mark.parametrize(
    ('frames', 'source', 'fps'),
    [(100, '25', '10'), (7, '30', '10'), (50, '12.5', '25'), (1000, '30000/1001', '10')],
)
def test_kept_frames_lie_at_the_centres(frames: int, source: str, fps: str):
    source_fps, kept_fps = Fraction(source), Fraction(fps)
    indices = source_indices(frames, source_fps, kept_fps)
    expected = []
    k = 0
    while (k + Fraction(1, 2)) * source_fps / kept_fps < frames:
        expected.append(int((k + Fraction(1, 2)) * source_fps / kept_fps))
        k += 1
    assert indices.tolist() == expected


def test_atomic_outputs_vanish_on_error(tmp_path: Path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / 'a.txt') as partial:
        partial.write_text('half')
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / 'b') as folder:
        (folder / 'x').write_text('half')
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_parallel_map_survives_crashes(capsys: pytest.CaptureFixture):
    items = {f'item{i}': i for i in range(5)}
    results, failures = parallel_map(crash, items, workers=2, description='test')
    assert results == {'item0': 0, 'item3': 30, 'item4': 40}
    assert [failure.key for failure in failures] == ['item1', 'item2']
    assert 'crashed' in failures[0].reason
    assert failures[1].reason == 'item 2 is bad'
    assert print_failures(failures) == 1
    assert 'item2: item 2 is bad' in capsys.readouterr().err
    assert print_failures([]) == 0


def test_manifest(tmp_path: Path):
    video = tmp_path / 'videos' / 'a.mp4'
    video.parent.mkdir()
    Manifest(tmp_path, {'seed': 0}).begin()
    video.write_text('x')
    Manifest(tmp_path, {'seed': 0}).begin()
    assert video.exists(), 'an interrupted run must be continued'
    Manifest(tmp_path, {'seed': 0}).finish(['videos/a.mp4'])
    assert Manifest(tmp_path, {'seed': 0}).is_complete()
    assert not Manifest(tmp_path, {'seed': 1}).is_complete()
    video.write_text('longer')
    assert not Manifest(tmp_path, {'seed': 0}).is_complete()
    Manifest(tmp_path, {'seed': 1}).begin()
    assert not video.exists(), 'files of other arguments must go'
