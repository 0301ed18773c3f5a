"""The cache of decoded videos: never wrong, shared, and safe against kills."""

import itertools
import multiprocessing
import os
import signal
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from media_helpers import encode, numbers_of

from mmtad_decomp.datasets import FrameCache, VideoReadError, frame_cache, read_frames
from mmtad_decomp.datasets.video_reader import iterate_chosen_frames

INDICES = list(range(0, 40, 2))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return encode(tmp_path / 'videos' / 'v.mp4', 40, codec='mpeg4')


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list:
    calls = []

    def counted(path, *arguments):
        calls.append(path)
        return iterate_chosen_frames(path, *arguments)

    monkeypatch.setattr(frame_cache, 'iterate_chosen_frames', counted)
    return calls


def test_decodes_once_and_maps(tmp_path, video, monkeypatch):
    calls = count_decoding(monkeypatch)
    frames = FrameCache(tmp_path / 'cache').frames(video, INDICES, 25, 24)
    assert isinstance(frames, np.memmap)
    np.testing.assert_array_equal(frames, read_frames(video, INDICES, 25, 24))
    again = FrameCache(tmp_path / 'cache').frames(str(video), np.array(INDICES), 25, 24)
    np.testing.assert_array_equal(frames, again)
    assert len(calls) == 1


def test_everything_that_matters_is_in_the_key(tmp_path, video, monkeypatch):
    calls = count_decoding(monkeypatch)
    cache = FrameCache(tmp_path / 'cache')
    other = encode(tmp_path / 'elsewhere' / 'v.mp4', 40, codec='mpeg4')
    os.utime(other, ns=(video.stat().st_atime_ns, video.stat().st_mtime_ns))
    assert other.stat().st_size == video.stat().st_size
    variants = [
        (video, INDICES, 25, 24),
        (other, INDICES, 25, 24),
        (video, INDICES[:-1], 25, 24),
        (video, list(range(1, 40, 2)), 25, 24),
        (video, INDICES, 25.1, 24),
        (video, INDICES, 25, 32),
        (video, INDICES, 25, None),
    ]
    for arguments in variants:
        frames = cache.frames(*arguments)
        np.testing.assert_array_equal(frames, read_frames(*arguments))
    assert len(calls) == len(variants) == len(list((tmp_path / 'cache').iterdir()))


def test_a_changed_video_is_decoded_again(tmp_path, video):
    cache = FrameCache(tmp_path / 'cache')
    before = np.array(cache.frames(video, [0, 1], 25, None))
    time.sleep(0.01)
    encode(video, 40, codec='mpeg4', g='1')
    after = cache.frames(video, [3, 4], 25, None)
    assert numbers_of(before) == [0, 1] and numbers_of(after) == [3, 4]
    np.testing.assert_array_equal(
        cache.frames(video, [0, 1], 25, None), read_frames(video, [0, 1], 25)
    )


def test_a_damaged_cache_file_is_made_again(tmp_path, video):
    cache = FrameCache(tmp_path / 'cache')
    wanted = np.array(cache.frames(video, INDICES, 25, 24))
    file = cache.file_of(video, INDICES, 25, 24)
    for content in (b'', file.read_bytes()[:-100], b'no array'):
        file.write_bytes(content)
        np.testing.assert_array_equal(cache.frames(video, INDICES, 25, 24), wanted)


def test_broken_videos_are_decoded_once_only(tmp_path, monkeypatch):
    calls = count_decoding(monkeypatch)
    cache = FrameCache(tmp_path / 'cache')
    path = tmp_path / 'broken.mp4'
    path.write_text('no video')
    for _ in range(3):
        with pytest.raises(VideoReadError, match=r'broken\.mp4 cannot be read'):
            cache.frames(path, INDICES, 25, 24)
    assert len(calls) == 1
    with pytest.raises(VideoReadError, match=r'none\.mp4 .*check `data_root`'):
        cache.frames(tmp_path / 'none.mp4', INDICES, 25, 24)
    encode(path, 40, codec='mpeg4')
    assert numbers_of(cache.frames(path, INDICES, 25, 24)) == INDICES, 'repaired meanwhile'
    assert not list((tmp_path / 'cache').glob('*.tmp'))


def _read_often(folder: Path, video: Path, queue) -> None:
    cache = FrameCache(folder)
    for _ in range(5):
        queue.put(numbers_of(cache.frames(video, INDICES, 25, None)))


def test_processes_share_it(tmp_path, video):
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    workers = [
        context.Process(target=_read_often, args=(tmp_path / 'cache', video, queue))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in range(15)]
    for worker in workers:
        worker.join(60)
    assert results == [INDICES] * 15
    assert len(list((tmp_path / 'cache').iterdir())) == 1, 'and leave nothing else'


def _write_slowly(folder: Path, video: Path, ready) -> None:
    def stop_after_half(*arguments):
        yield from itertools.islice(iterate_chosen_frames(*arguments), 10)
        ready.set()
        time.sleep(60)

    frame_cache.iterate_chosen_frames = stop_after_half
    FrameCache(folder).frames(video, INDICES, 25, None)


def test_a_killed_writer_leaves_no_wrong_file(tmp_path, video):
    context = multiprocessing.get_context('fork')
    ready = context.Event()
    writer = context.Process(target=_write_slowly, args=(tmp_path / 'cache', video, ready))
    writer.start()
    assert ready.wait(60)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(60)
    cache = FrameCache(tmp_path / 'cache')
    assert not cache.file_of(video, INDICES, 25, None).exists()
    assert [p.suffix for p in sorted(cache.folder.iterdir())].count('.lock') == 1, 'held by nobody'
    assert numbers_of(cache.frames(video, INDICES, 25, None)) == INDICES
    assert not list(cache.folder.glob('.*.lock'))


def test_one_of_many_decodes_and_the_others_wait(tmp_path, video, monkeypatch):
    calls, results = [], []

    def slow(*arguments):
        calls.append(arguments)
        for frame in iterate_chosen_frames(*arguments):
            time.sleep(0.01)
            yield frame

    def read():
        results.append(numbers_of(FrameCache(tmp_path / 'cache').frames(video, INDICES, 25, None)))

    monkeypatch.setattr(frame_cache, 'iterate_chosen_frames', slow)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [INDICES] * 4 and len(calls) == 1
    assert len(list((tmp_path / 'cache').iterdir())) == 1, 'no lock file is left'


def test_other_videos_are_not_waited_for(tmp_path, video, monkeypatch):
    """A process stopped in one video, as by a debugger, keeps no one from the others."""
    begun, go_on = threading.Event(), threading.Event()

    def stopped(path, *arguments):
        if path == video:
            begun.set()
            assert go_on.wait(60)
        return iterate_chosen_frames(path, *arguments)

    monkeypatch.setattr(frame_cache, 'iterate_chosen_frames', stopped)
    cache = FrameCache(tmp_path / 'cache')
    thread = threading.Thread(target=cache.frames, args=(video, INDICES, 25, None))
    thread.start()
    assert begun.wait(60)
    other = encode(tmp_path / 'other.mp4', 40, codec='mpeg4')
    assert numbers_of(cache.frames(other, INDICES, 25, None)) == INDICES
    go_on.set()
    thread.join(60)
    assert numbers_of(cache.frames(video, INDICES, 25, None)) == INDICES


def test_a_few_frames_are_in_memory_at_a_time(tmp_path):
    video = encode(tmp_path / 'v.mp4', 200, codec='mpeg4')
    cache = FrameCache(tmp_path / 'cache')
    cache.frames(video, [0, 1], 25, 200)
    tracemalloc.start()
    frames = cache.frames(video, range(200), 25, 200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames.shape[0] == 200 and peak < 8 * frames[0].nbytes + (1 << 20) < frames.nbytes / 2
    np.testing.assert_array_equal(frames, read_frames(video, range(200), 25, 200))


def test_a_video_that_ends_too_early_leaves_no_file(tmp_path, video):
    """The header of the file has promised all frames by then."""
    cache = FrameCache(tmp_path / 'cache')
    with pytest.raises(VideoReadError, match=r'ends at 1\.60 s'):
        cache.frames(video, range(60), 25, None)
    assert not list(cache.folder.iterdir())
    late = cache.frames(video, range(42), 25, None)
    assert numbers_of(late) == [*range(40), 39, 39]
