"""Shared parts of the data scripts."""

import errno
import signal
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from crash_helpers import crash, end_parent_and_wait
from data_helpers import make_frames

from mmtad_decomp.datasets import VideoReadError, iterate_frames, probe_video
from mmtad_decomp.utils.atomic import process_runs
from tools.data.common import (
    Manifest,
    atomic_folder,
    atomic_path,
    parallel_map,
    print_failures,
    refuse_other_annotations,
    run_main,
    write_annotations,
    write_video,
)


def test_video_round_trip(tmp_path: Path):
    path = tmp_path / 'a.mp4'
    frames = make_frames(20)
    assert write_video(path, frames, Fraction(25, 2)) == 20
    info = probe_video(path)
    assert (info.fps, info.num_frames, info.width, info.height) == (Fraction(25, 2), 20, 64, 48)
    assert info.duration == pytest.approx(1.6)
    decoded = list(iterate_frames(path))
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
    with pytest.raises(VideoReadError, match=rf'cut\.{suffix} .*; download or extract it again'):
        probe_video(path)


def test_missing_and_empty_videos_are_named(tmp_path: Path):
    with pytest.raises(VideoReadError, match=r'none\.mp4 does not exist'):
        probe_video(tmp_path / 'none.mp4')
    (tmp_path / 'text.mp4').write_text('not a video')
    with pytest.raises(VideoReadError, match=r'text\.mp4 cannot be read'):
        probe_video(tmp_path / 'text.mp4')
    with pytest.raises(ValueError, match='no frames to write'):
        write_video(tmp_path / 'e.mp4', [], 10)


def test_atomic_outputs_vanish_on_error(tmp_path: Path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / 'a.txt') as partial:
        partial.write_text('half')
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / 'b') as folder:
        (folder / 'x').write_text('half')
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(('atomic', 'inside'), [(atomic_path, ''), (atomic_folder, '1.jpg')])
def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, atomic, inside: str):
    def store(name: str) -> None:
        with atomic(tmp_path / name) as partial:
            raise OSError(errno.ENOSPC, 'No space left on device', str(partial / inside))

    _, (failure,) = parallel_map(store, {'v': 'a.mp4'}, workers=1, description='test')
    wanted = f'No space left on device; {tmp_path}/a.mp4 is as before; free some space'
    assert failure.reason.startswith(wanted)


def test_parallel_map_survives_crashes(capsys: pytest.CaptureFixture):
    items = {f'item{i}': i for i in range(5)}
    results, failures = parallel_map(crash, items, workers=2, description='test')
    assert results == {'item0': 0, 'item3': 30, 'item4': 40}
    assert [failure.key for failure in failures] == ['item1', 'item2']
    assert 'crashed' in failures[0].reason
    assert failures[1].reason == 'item 2 is bad'
    assert print_failures(failures) == 1
    error = capsys.readouterr().err
    assert 'item2: item 2 is bad' in error and 'Everything else is done' in error
    assert print_failures(failures, anything_done=False) == 1
    error = capsys.readouterr().err
    assert 'Nothing is written' in error and 'Everything else' not in error
    assert print_failures([]) == 0


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_parallel_map_and_its_workers(tmp_path: Path, number: int, capfd):
    items = {f'item{i}': (tmp_path, number) for i in range(4)}
    begin = time.monotonic()
    code = run_main(parallel_map, end_parent_and_wait, items, 2, 'test')
    assert code == 128 + number
    workers = [int(file.name) for file in tmp_path.iterdir()]
    assert 1 <= len(workers) <= 2
    while any(map(process_runs, workers)):
        assert time.monotonic() - begin < 30
        time.sleep(0.02)
    assert 'Traceback' not in capfd.readouterr().err


def test_manifest(tmp_path: Path):
    video = tmp_path / 'videos' / 'a.mp4'
    video.parent.mkdir()
    files = ['videos/a.mp4']
    Manifest(tmp_path, {'seed': 0}).begin(files)
    video.write_text('x')
    Manifest(tmp_path, {'seed': 0}).begin(files)
    assert video.exists(), 'an interrupted run must be continued'
    Manifest(tmp_path, {'seed': 0}).finish(files)
    assert Manifest(tmp_path, {'seed': 0}).is_complete()
    assert not Manifest(tmp_path, {'seed': 1}).is_complete()
    video.write_text('longer')
    assert not Manifest(tmp_path, {'seed': 0}).is_complete()
    other = video.with_name('b.mp4')
    other.write_text('mine')
    Manifest(tmp_path, {'seed': 1}).begin(files)
    assert not video.exists(), 'files of other arguments must go'
    video.write_text('x')
    with pytest.raises(ValueError, match=r'b\.mp4 would be replaced, but this command did not'):
        Manifest(tmp_path, {'seed': 2}).begin([*files, 'videos/b.mp4'])
    assert video.exists() and other.read_text() == 'mine'
    Manifest(tmp_path, {'seed': 2}).begin(files)
    assert not video.exists(), 'files of an interrupted run with other arguments must go'
    assert other.exists(), 'files that no run made must stay'


@pytest.mark.parametrize('earlier', ['words-2', 'words-1', 'words-10'])
def test_annotations_of_an_earlier_version_are_replaced(tmp_path: Path, earlier: str):
    target = tmp_path / 'annotations.json'
    refuse_other_annotations(target, 'words-2')
    write_annotations(target, earlier, ['a'], {})
    refuse_other_annotations(target, 'words-2')


@pytest.mark.parametrize(
    'text',
    [
        '{"version": "VERSION 1.3", "database": {}}',
        '{"version": "words", "database": {}}',
        '{"version": "my-words-2", "database": {}}',
        '{"version": 2, "database": {}}',
        '{"database": {}}',
        '[]',
        'notes',
        '',
    ],
)
def test_annotations_of_others_are_not_replaced(tmp_path: Path, text: str):
    target = tmp_path / 'annotations.json'
    target.write_text(text)
    with pytest.raises(ValueError, match=r"annotations\.json would be replaced.*'words-2'.*--out"):
        refuse_other_annotations(target, 'words-2')
