"""Real downloads: their own clock, upright, and one bad file costs itself only."""

import json
from pathlib import Path

import av
import clock_videos as videos
import cv2
import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import probe_video, read_frames
from tools.data.activitynet import prepare
from tools.data.common import read_json

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
    assert run(tmp_path, {'twin': 1.0, 'fine': 1.0}, '--fps', '10') == 1
    printed = capsys.readouterr().err
    assert '2 files are called v_twin: ' in printed
    assert str(source / 't1' / 'v_twin.mp4') in printed and str(source / 't2') in printed
    assert not (tmp_path / 'out' / 'annotations.json').exists()
    assert run(tmp_path, {'twin': 1.0, 'fine': 1.0}, '--fps', '10', '--allow-missing') == 1
    assert list(load_annotations(tmp_path / 'out' / 'annotations.json').videos) == ['fine']


def test_frames_of_an_older_reader_are_stored_again(source, tmp_path):
    videos.record(source / 'v_a.mp4', range(25))
    assert run(tmp_path, {'a': 1.0}, '--fps', '10') == 0
    marker = tmp_path / 'out' / '.done' / 'a.json'
    old = {key: value for key, value in read_json(marker).items() if key != 'format'}
    marker.write_text(json.dumps(old))
    (tmp_path / 'out' / 'frames' / 'a' / 'img_00001.jpg').write_bytes(b'')
    assert run(tmp_path, {'a': 1.0}, '--fps', '10') == 0
    assert frames_of(tmp_path, 'a')[0] is not None
