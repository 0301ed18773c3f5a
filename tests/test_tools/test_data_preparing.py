"""Real downloads: their own clock, upright, and one bad file costs itself only."""

import json
import shutil
from pathlib import Path

import av
import clock_videos as videos
import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import TADDataset, probe_video, read_frames
from mmtad_decomp.datasets.frame_source import VideoSource
from tools.data.activitynet import prepare
from tools.data.common import read_json
from tools.data.common.preparing import find_videos
from tools.data.flow import jobs

pytestmark = pytest.mark.skipif(
    'libx264' not in av.codec.codecs_available, reason='PyAV was built without libx264'
)


def run(folder: Path, durations: dict[str, float], *more: str) -> int:
    """Prepare the videos ``v_NAME.*`` under ``folder / 'src'``."""
    database = {
        name: dict(
            subset='training',
            duration=duration,
            annotations=[dict(segment=[0.2 * duration, 0.8 * duration], label='x')],
        )
        for name, duration in durations.items()
    }
    (folder / 'ann.json').write_text(json.dumps(dict(database=database)))
    arguments = ['--annotations', folder / 'ann.json', '--videos', folder / 'src', '--out']
    arguments += [folder / 'out', '--workers', '1', '--short-side', '0', *more]
    return prepare.main([str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / 'src').mkdir()
    return tmp_path / 'src'


def frames_of(folder: Path, name: str) -> list[np.ndarray]:
    files = sorted((folder / 'out' / 'frames' / name).glob('*.jpg'))
    return [cv2.imread(str(file)) for file in files]


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_variable_rate(source, tmp_path, suffix):
    videos.variable_rate(source / f'v_a.{suffix}')
    assert run(tmp_path, {'a': 20.0}, '--fps', '10') == 0
    shown = np.array([videos.number_of(frame) for frame in frames_of(tmp_path, 'a')]) / 100
    late = (np.arange(200) + 0.5) / 10 - shown
    assert late.min() >= -0.01 and late.max() < 0.1
    entry = read_json(tmp_path / 'out' / 'annotations.json')['database']['a']
    assert entry['duration'] == pytest.approx(20) and entry['frame'] == 200
    assert run(tmp_path, {'a': 20.0}, '--keep-fps', '--mode', 'videos') == 0
    entry = read_json(tmp_path / 'out' / 'annotations.json')['database']['a']
    assert (entry['fps'], entry['frame']) == (30, 600)
    stored = read_frames(tmp_path / 'out' / entry['path'], range(600), 30)
    late = (np.arange(600) + 0.5) / 30 - np.array(list(map(videos.number_of, stored))) / 100
    assert late.min() >= -0.01 and late.max() < 0.1
    assert set(map(videos.number_of, stored)) == set(
        map(videos.number_of, read_frames(source / f'v_a.{suffix}', range(600), 30))
    )


def test_parts_on_several_machines(source, tmp_path, capsys):
    for name in 'abc':
        videos.variable_rate(source / f'v_{name}.mp4')
    durations = dict.fromkeys('abc', 20.0)
    stored, size = tmp_path / 'out', ('--fps', '1')
    assert run(tmp_path, durations, *size, '--shard', '2/2') == 0
    assert '1 videos are stored' in capsys.readouterr().out
    assert [folder.name for folder in (stored / 'frames').iterdir()] == ['b']
    assert not (stored / 'annotations.json').exists()
    written = {file: file.stat().st_mtime_ns for file in stored.rglob('b/*')}
    assert run(tmp_path, durations, *size, '--shard', '1/2') == 0
    assert run(tmp_path, durations, *size) == 0
    assert set(read_json(stored / 'annotations.json')['database']) == {'a', 'b', 'c'}
    assert {file: file.stat().st_mtime_ns for file in written} == written
    assert run(tmp_path, durations, '--shard', '3/2') == 2


@pytest.mark.parametrize('mode', ['frames', 'videos'])
def test_rotation_mark(source, tmp_path, mode):
    for degrees in (90, 180):
        turn = dict(degrees=degrees)
        videos.record(source / f'v_r{degrees}.mp4', [9] * 25, turn=turn, size=(98, 66))
    assert run(tmp_path, {'r90': 1.0, 'r180': 1.0}, '--keep-fps', '--mode', mode) == 0
    for degrees, shape in ((90, (98, 66)), (180, (66, 98))):
        wanted = read_frames(source / f'v_r{degrees}.mp4', [5])[0]
        if mode == 'frames':
            stored = frames_of(tmp_path, f'r{degrees}')[5]
        else:
            stored = read_frames(tmp_path / 'out' / 'videos' / f'r{degrees}.mp4', [5])[0]
        assert stored.shape[:2] == shape == wanted.shape[:2]
        assert np.abs(stored.astype(int) - wanted).mean() < 4


def test_odd_sizes(source, tmp_path):
    videos.record(source / 'v_odd.mkv', range(25), codec='ffv1', size=(97, 65))
    assert run(tmp_path, {'odd': 1.0}, '--keep-fps', '--mode', 'videos') == 0
    info = probe_video(tmp_path / 'out' / 'videos' / 'odd.mp4')
    assert (info.width, info.height) == (96, 64)
    assert run(tmp_path, {'odd': 1.0}, '--keep-fps') == 0
    assert frames_of(tmp_path, 'odd')[0].shape == (65, 97, 3)


@pytest.mark.parametrize('mode', ['frames', 'videos'])
def test_very_short_video(source, tmp_path, mode):
    videos.record(source / 'v_short.mp4', [1])
    videos.record(source / 'v_long.mp4', range(200))
    assert run(tmp_path, {'short': 0.04, 'long': 8.0}, '--fps', '10', '--mode', mode) == 0
    loaded = load_annotations(tmp_path / 'out' / 'annotations.json')
    assert (loaded.videos['short'].num_frames, loaded.videos['long'].num_frames) == (1, 80)


def test_files_of_one_name_are_named(source, tmp_path, capsys):
    for folder in ('t1', 't2'):
        (source / folder).mkdir()
        videos.record(source / folder / 'v_twin.mp4', range(25))
    videos.record(source / 'v_fine.mp4', range(25))
    left = videos.record(source / 'v_left.mp4', range(25))
    shutil.copy(left, source / 'v_left.webm')
    names = dict.fromkeys(('twin', 'left', 'fine'), 1.0)
    assert run(tmp_path, names, '--fps', '10') == 1
    printed = capsys.readouterr().err
    assert '2 files are called v_twin: ' in printed
    assert f'2 files are called v_left: {left}, {left.with_suffix(".webm")}; keep' in printed
    assert str(source / 't1' / 'v_twin.mp4') in printed and str(source / 't2') in printed
    assert not (tmp_path / 'out' / 'annotations.json').exists()
    assert run(tmp_path, names, '--fps', '10', '--allow-missing') == 1
    assert list(load_annotations(tmp_path / 'out' / 'annotations.json').videos) == ['fine']


def test_linked_folders_are_searched_once(source, tmp_path):
    """Links to a disk, from one disk to another and back, and to a folder that is searched."""
    one, two, real = tmp_path / 'one', tmp_path / 'two', source / 'real'
    for folder, name in ((one / 'deep', 'a'), (two, 'b'), (real, 'c')):
        folder.mkdir(parents=True)
        (folder / f'v_{name}.mp4').write_text(name)
    (source / 'linked').symlink_to(one)
    (one / 'deep' / 'next').symlink_to(two)
    (two / 'back').symlink_to(one)
    (source / 'again').symlink_to(real)
    (real / 'up').symlink_to('..')
    (source / 'gone').symlink_to(tmp_path / 'gone')
    found, failures = find_videos(source, 'abcd', tmp_path / 'out', 'v_{}'.format)
    assert [(item.key, item.reason) for item in failures] == [
        ('d', f'no video file v_d.* under {source}')
    ]
    assert {key: path.read_text() for key, path in found.items()} == {k: k for k in 'abc'}
    assert found['c'] == real / 'v_c.mp4'
    (source / 'v_a.mp4').write_text('another')
    _, failures = find_videos(source, 'a', tmp_path / 'out', 'v_{}'.format)
    assert failures[0].reason.startswith('2 files are called v_a: ')


def test_downloads_in_the_output_folder_are_kept(source, tmp_path, capsys):
    path = videos.record(source / 'videos' / 'a.mp4', range(25))
    (tmp_path / 'out').symlink_to(source)
    content, options = path.read_bytes(), ('--mode', 'videos', '--prefix', '', '--fps', '5')
    assert run(tmp_path, {'a': 1.0}, *options) == 2
    assert 'a.mp4 is one of the downloaded videos' in capsys.readouterr().err
    assert path.read_bytes() == content and not path.is_symlink()
    path.rename(source / 'a.mp4')
    for _ in range(2):
        assert run(tmp_path, {'a': 1.0}, *options) == 0, capsys.readouterr().err
    assert (source / 'a.mp4').read_bytes() == content
    assert probe_video(path).num_frames == 5


def test_frames_of_an_older_reader_are_stored_again(source, tmp_path):
    videos.record(source / 'v_a.mp4', range(25))
    assert run(tmp_path, {'a': 1.0}, '--fps', '10') == 0
    marker = tmp_path / 'out' / '.done' / 'a.json'
    old = {key: value for key, value in read_json(marker).items() if key != 'format'}
    marker.write_text(json.dumps(old))
    (tmp_path / 'out' / 'frames' / 'a' / 'img_00001.jpg').write_bytes(b'')
    assert run(tmp_path, {'a': 1.0}, '--fps', '10') == 0
    assert frames_of(tmp_path, 'a')[0] is not None


def _cut(folder: Path) -> Path:
    whole = videos.record(folder / 'whole.mp4', range(150), sound=6.0)
    return videos.cut_without_encoding(whole, folder / 'cut.mp4', 1.3, 5.0)


def _late(folder: Path) -> Path:
    times = [520 + 40 * i for i in range(50)]
    return videos.record(folder / 'late.mp4', range(50), times, sound=3.0)


def _covered(folder: Path) -> Path:
    plain = videos.record(folder / 'plain.mp4', range(50))
    return videos.with_other_pictures(plain, folder / 'many.mp4')


def _ten_bit(folder: Path) -> Path:
    return videos.record(folder / 'ten_bit.mp4', range(50), pix_fmt='yuv420p10le')


@pytest.mark.parametrize('make', [_cut, _late, videos.growing, _covered, _ten_bit])
def test_files_of_all_kinds_are_stored_as_they_are_shown(source, tmp_path, make):
    (tmp_path / 'made').mkdir()
    made = make(tmp_path / 'made')
    made.rename(source / f'v_a{made.suffix}')
    duration = probe_video(source / f'v_a{made.suffix}').duration
    assert run(tmp_path, {'a': duration}, '--fps', '12.5') == 0
    stored = frames_of(tmp_path, 'a')
    assert len({frame.shape for frame in stored}) == 1
    shown = read_frames(source / f'v_a{made.suffix}', range(len(stored)), 12.5)
    assert list(map(videos.number_of, stored)) == list(map(videos.number_of, shown))
    entry = load_annotations(tmp_path / 'out' / 'annotations.json').videos['a']
    assert entry.duration == pytest.approx(duration)
    assert entry.num_frames == len(stored) == pytest.approx(12.5 * duration, abs=0.5)


def test_training_preparing_flow_and_inference_see_the_same_pictures(
    source, tmp_path, monkeypatch
):
    """A recording of variable rate, held upright: frame k shows (k + 0.5) / 10 s everywhere."""
    times = [1000 * i // 30 for i in range(60)] + [2000 + 100 * i for i in range(20)]
    path = source / 'v_a.mp4'
    turn = dict(degrees=180)
    videos.record(path, [t // 10 for t in times], times, turn=turn, last=100)
    assert run(tmp_path, {'a': 4.0}, '--fps', '10') == 0
    prepared = frames_of(tmp_path, 'a')

    video = dict(subset='training', duration=4.0, path=str(path))
    video['annotations'] = [dict(segment=[1.0, 2.0], label='x')]
    (tmp_path / 'own.json').write_text(json.dumps(dict(database=dict(a=video))))
    load = dict(type='LoadVideoFrames')
    data = dict(ann_file=str(tmp_path / 'own.json'), sample_fps=10)
    trained = TADDataset(**data, pipeline=[load])[0]['frames']

    seen = []
    monkeypatch.setitem(jobs.METHODS, 'dis', lambda: lambda *_: np.zeros((64, 96, 2), np.float32))
    monkeypatch.setattr(
        jobs,
        'flow_of_frames',
        lambda frames, estimate: (seen.append(f) or np.zeros((64, 96, 2), 'f4') for f in frames),
    )
    flow = dict(type='LoadOpticalFlow', folder=str(tmp_path / 'flow'), frames=load)
    dataset = dict(type='TADDataset', **data, pipeline=[flow])
    (job,) = jobs.jobs_of_config(
        Config(dict(train_dataloader=dict(dataset=dataset))), 'dis', 20.0
    ).values()
    jobs.extract(job)

    wanted = [max(t for t in times if t <= 100 * k + 50) // 10 for k in range(40)]
    for frames in (prepared, trained, seen, list(VideoSource(path, fps=10))):
        upright = [frame[::-1, ::-1] for frame in frames]
        assert list(map(videos.number_of, upright)) == wanted
        assert all(map(videos.is_upright, upright))
