"""THUMOS'14 and ActivityNet: annotations, and videos to frames."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from data_helpers import make_frames

from mmtad_decomp.annotations import load_annotations, read_video_list
from mmtad_decomp.datasets import probe_video
from tools.data.activitynet import prepare as activitynet
from tools.data.common import read_json, write_video
from tools.data.thumos14 import prepare as thumos

ROOT = Path(__file__).resolve().parents[2]
IDS = [f'video_{split}_000000{i}' for split in ('validation', 'test') for i in range(1, 4)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Official text annotations and one small video each."""
    for folder in ('text', 'videos'):
        (tmp_path / folder).mkdir()
    lines = {'val': IDS[:3], 'test': IDS[3:]}
    for split, ids in lines.items():
        text = ''.join(f'{video_id}  1.5  3.0\n' for video_id in ids)
        (tmp_path / 'text' / f'Diving_{split}.txt').write_text(text)
        (tmp_path / 'text' / f'Ambiguous_{split}.txt').write_text(f'{ids[0]} 3.0 3.5\n')
    for video_id in IDS:
        write_video(tmp_path / 'videos' / f'{video_id}.mp4', make_frames(100, 96, 128), 25)
    return tmp_path


def command(source: Path, *more: str) -> list[str]:
    paths = ['--annotations', str(source / 'text'), '--videos', str(source / 'videos')]
    return [*paths, '--out', str(source / 'out'), '--workers', '1', '--short-side', '48', *more]


@pytest.mark.parametrize('name', ['thumos_14_anno.json', 'thumos14_413_derived.json'])
def test_real_annotations(shared_data: Path, tmp_path: Path, name: str):
    path = str(shared_data / 'annotations' / 'thumos14' / name)
    arguments = ['--annotations', path, '--out', str(tmp_path), '--annotations-only']
    assert thumos.main(arguments) == 0
    counts = {}
    for subset in ('training', 'validation'):
        census = load_annotations(tmp_path / 'annotations.json', subset).census
        counts[subset] = (census.videos, census.instances)
    assert counts == {'training': (200, 3003), 'validation': (211, 3325)}


@pytest.mark.parametrize('names', [('training', 'validation'), ('Validation', 'Test')])
def test_subsets_by_id(tmp_path: Path, names: tuple[str, str]):
    item = {'segment': [0.5, 2.0], 'label': 'Diving', 'segment(frames)': [15, 60], 'label_id': 7}
    database = {
        key: {'subset': subset, 'duration': 4.0, 'fps': 30.0, 'annotations': [item]}
        for key, subset in zip([IDS[0], IDS[3]], names)
    }
    path = tmp_path / 'thumos14.json'
    path.write_text(json.dumps({'version': 'Thumos14-30fps', 'database': database}))
    arguments = ['--annotations', str(path), '--out', str(tmp_path), '--annotations-only']
    assert thumos.main(arguments) == 0
    content = read_json(tmp_path / 'annotations.json')
    subsets = {key: video['subset'] for key, video in content['database'].items()}
    assert subsets == {IDS[0]: 'training', IDS[3]: 'validation'}


def test_other_ids_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    video = {'subset': 'training', 'duration': 4.0, 'annotations': []}
    (tmp_path / 'x.json').write_text(json.dumps({'database': {'clip_7': video}}))
    arguments = ['--annotations', str(tmp_path / 'x.json'), '--out', str(tmp_path)]
    assert thumos.main([*arguments, '--annotations-only']) == 2
    assert 'video "clip_7"' in capsys.readouterr().err


@pytest.mark.parametrize('census', [213, 212, 211, 210])
def test_census(shared_data: Path, tmp_path: Path, census: int):
    path = str(shared_data / 'annotations' / 'thumos14' / 'thumos14_413_derived.json')
    arguments = ['--annotations', path, '--out', str(tmp_path), '--annotations-only']
    assert thumos.main([*arguments, '--census', str(census)]) == 0
    content = read_json(tmp_path / 'annotations.json')
    tests = [v for v in content['database'].values() if v['subset'] == 'validation']
    assert len(tests) == census
    assert str(census) in content['version']


def test_census_that_the_file_cannot_give(shared_data: Path, tmp_path: Path, capsys):
    path = str(shared_data / 'annotations' / 'thumos14' / 'thumos_14_anno.json')
    arguments = ['--annotations', path, '--out', str(tmp_path), '--annotations-only']
    assert thumos.main([*arguments, '--census', '213']) == 2
    assert 'video_test_0001292' in capsys.readouterr().err


def test_frames(source: Path, capsys: pytest.CaptureFixture):
    assert thumos.main(command(source)) == 0
    assert '3 test videos are here' in capsys.readouterr().out
    loaded = load_annotations(source / 'out' / 'annotations.json')
    assert loaded.census.instances == 6, 'ambiguous segments must go'
    for video in loaded.videos.values():
        names = sorted(path.name for path in (source / 'out' / video.path).iterdir())
        assert names == [f'img_{k:05d}.jpg' for k in range(1, 41)]
        assert (video.fps, video.num_frames, video.duration) == (10.0, 40, 4.0)
    image = cv2.imread(str(source / 'out' / video.path / 'img_00001.jpg'))
    assert image.shape == (48, 64, 3)


def test_resized_videos(source: Path):
    assert thumos.main(command(source, '--mode', 'videos', '--fps', '12.5')) == 0
    entry = read_json(source / 'out' / 'annotations.json')['database'][IDS[0]]
    info = probe_video(source / 'out' / entry['path'])
    assert (float(info.fps), info.num_frames, info.height) == (12.5, 50, 48)
    assert (entry['fps'], entry['frame']) == (12.5, 50)


def test_goes_on_after_a_kill(source: Path):
    script = str(ROOT / 'tools' / 'data' / 'thumos14' / 'prepare.py')
    markers = source / 'out' / '.done'
    process = subprocess.Popen(
        [sys.executable, script, *command(source, '--fps', '25', '--short-side', '480')],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # A folder that is still being written begins with a dot.
    while process.poll() is None and not list((source / 'out' / 'frames').glob('[!.]*')):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # A marker is written just before its folder is renamed: without the folder it is void.
    finished = {
        path: path.stat().st_mtime_ns
        for path in markers.glob('[!.]*.json')
        if (source / 'out' / 'frames' / path.stem).is_dir()
    }
    assert 0 < len(finished) < len(IDS)
    assert not (source / 'out' / 'annotations.json').exists()
    assert thumos.main(command(source, '--fps', '25', '--short-side', '480')) == 0
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    folders = sorted(path.name for path in (source / 'out' / 'frames').iterdir())
    assert folders == sorted(IDS), 'no half-written folder may stay'
    assert all(len(list((source / 'out' / 'frames' / i).iterdir())) == 100 for i in IDS)


def test_other_settings_store_again(source: Path):
    assert thumos.main(command(source)) == 0
    assert thumos.main(command(source, '--fps', '5')) == 0
    assert len(list((source / 'out' / 'frames' / IDS[0]).iterdir())) == 20


def test_failures_are_listed(source: Path, capsys: pytest.CaptureFixture):
    (source / 'videos' / f'{IDS[0]}.mp4').unlink()
    broken = source / 'videos' / f'{IDS[1]}.mp4'
    broken.write_bytes(broken.read_bytes()[:2000])
    assert thumos.main(command(source)) == 1
    errors = capsys.readouterr().err
    assert f'{IDS[0]}: no video file' in errors
    assert f'{IDS[1]}: ' in errors and 'cannot be read' in errors
    assert not (source / 'out' / 'annotations.json').exists()
    assert thumos.main(command(source, '--allow-missing')) == 1
    assert len(read_json(source / 'out' / 'annotations.json')['database']) == 4


def test_malformed_text_is_named(source: Path, capsys: pytest.CaptureFixture):
    (source / 'text' / 'Diving_val.txt').write_text(f'{IDS[0]} 1.0\n')
    assert thumos.main(command(source)) == 2
    assert 'Diving_val.txt, line 1' in capsys.readouterr().err
    assert thumos.main(command(source, '--annotations-only')) == 2


def test_text_without_durations_needs_videos(source: Path, capsys: pytest.CaptureFixture):
    assert thumos.main(command(source, '--annotations-only')) == 2
    assert 'state no duration; give --videos' in capsys.readouterr().err


@pytest.mark.parametrize('blocked', ['["b"]', 'v_b\n', '{"v_b": "why"}'])
def test_activitynet(tmp_path: Path, blocked: str):
    database = {
        key: {
            'subset': subset,
            'duration': 4.0,
            'annotations': [{'segment': [0.5, 2.0], 'label': label}],
        }
        for key, subset, label in [
            ('a', 'training', 'Surfing'),
            ('b', 'training', 'Archery'),
            ('c', 'validation', 'Archery'),
            ('d', 'testing', 'Archery'),
        ]
    }
    (tmp_path / 'anet.json').write_text(json.dumps({'database': database}))
    (tmp_path / 'blocked').write_text(blocked)
    (tmp_path / 'videos').mkdir()
    for key in 'ac':
        write_video(tmp_path / 'videos' / f'v_{key}.mp4', make_frames(60), 15)
    arguments = ['--annotations', str(tmp_path / 'anet.json'), '--out', str(tmp_path / 'out')]
    arguments += ['--videos', str(tmp_path / 'videos'), '--blocked', str(tmp_path / 'blocked')]
    assert activitynet.main([*arguments, '--fps', '5', '--workers', '1']) == 0
    loaded = load_annotations(tmp_path / 'out' / 'annotations.json')
    assert loaded.classes == ('Archery', 'Surfing')
    assert list(loaded.videos) == ['a', 'c']
    assert read_video_list(tmp_path / 'out' / 'blocked.json') == ('b',)
    assert loaded.videos['a'].path == 'frames/a' and loaded.videos['a'].num_frames == 20


def activitynet_files(folder: Path, **changes) -> Path:
    """Annotations of the videos a (training), b and c (validation) in ``folder / 'anet.json'``."""
    item = {'segment': [0.5, 2.0], 'label': 'Surfing'}
    database = {
        key: {'subset': subset, 'duration': 4.0, 'url': 'x', 'annotations': [item]}
        for key, subset in (('a', 'training'), ('b', 'validation'), ('c', 'validation'))
    }
    database['a'].update(changes)
    path = folder / 'anet.json'
    path.write_text(json.dumps({'database': database, 'taxonomy': []}))
    return path


def test_the_annotations_that_are_read_are_not_replaced(tmp_path: Path, capsys):
    path = activitynet_files(tmp_path).rename(tmp_path / 'annotations.json')
    (tmp_path / 'link').symlink_to(tmp_path)
    content = path.read_bytes()
    for out in (tmp_path, tmp_path / 'link'):
        arguments = ['--annotations', str(path), '--out', str(out), '--annotations-only']
        for tool in (activitynet, thumos):
            if tool is thumos:
                path.write_text(json.dumps({'database': {
                    key: {'duration': 4.0, 'annotations': []} for key in IDS
                }}))  # fmt: skip
            before = path.read_bytes()
            assert tool.main(arguments) == 2
            error = capsys.readouterr().err
            assert f'{out}/annotations.json would be replaced' in error
            assert path.read_bytes() == before
            assert sorted(p.name for p in tmp_path.iterdir()) == ['annotations.json', 'link']
        path.write_bytes(content)


def test_a_list_of_blocked_videos_that_is_there_counts_and_stays(tmp_path: Path, capsys):
    arguments = ['--annotations', str(activitynet_files(tmp_path)), '--annotations-only']
    arguments += ['--out', str(tmp_path / 'out')]
    target = tmp_path / 'out' / 'blocked.json'
    annotations = target.with_name('annotations.json')
    assert activitynet.main(arguments) == 0
    assert read_video_list(target) == () and len(read_json(annotations)['database']) == 3
    assert 'it stays' not in capsys.readouterr().out
    mine = '{"v_b": "no longer there"}'
    for more in ([], ['--blocked', str(target)]):
        target.write_text(mine)
        assert activitynet.main([*arguments, *more]) == 0
        assert target.read_text() == mine
        assert list(read_json(annotations)['database']) == ['a', 'c']
        assert (f'{target} is that list; it stays' in capsys.readouterr().out) == (not more)
    (tmp_path / 'same').write_text('b\n')
    assert activitynet.main([*arguments, '--blocked', str(tmp_path / 'same')]) == 0
    assert target.read_text() == mine
    (tmp_path / 'other').write_text('c\n')
    before = annotations.read_bytes()
    for text in (mine, '["b", "c"]', '["b"'):
        target.write_text(text)
        assert activitynet.main([*arguments, '--blocked', str(tmp_path / 'other')]) == 2
        assert f'{target} ' in capsys.readouterr().err
        assert target.read_text() == text and annotations.read_bytes() == before
    target.write_text('[]')  # of a run without --blocked
    assert activitynet.main([*arguments, '--blocked', str(tmp_path / 'other')]) == 0
    assert read_video_list(target) == ('c',)
    assert list(read_json(annotations)['database']) == ['a', 'b']
    (tmp_path / 'videos').mkdir()
    options = ['--blocked', str(tmp_path / 'other'), '--videos', str(tmp_path / 'videos')]
    new = [*arguments[:2], *options, '--out', str(tmp_path / 'new')]
    assert activitynet.main(new) == 1 and not (tmp_path / 'new').exists()
    assert 'Nothing is written' in capsys.readouterr().err
    target.write_text('["b"')
    assert activitynet.main(arguments) == 2
    assert 'blocked.json is not valid JSON' in capsys.readouterr().err


@pytest.mark.parametrize('mode', ['frames', 'videos'])
def test_what_no_run_made_is_not_replaced(source: Path, capsys, mode: str):
    name = {'frames': f'{IDS[1]}/notes.txt', 'videos': f'{IDS[1]}.mp4'}[mode]
    mine = source / 'out' / mode / name
    mine.parent.mkdir(parents=True)
    mine.write_text('mine')
    assert thumos.main(command(source, '--mode', mode)) == 2
    error = capsys.readouterr().err
    target = source / 'out' / mode / Path(name).parts[0]
    assert f'{target} would be replaced, but no run of this command made it' in error
    assert mine.read_text() == 'mine' and list((source / 'out').rglob('*.*')) == [mine]


def test_what_earlier_runs_made_is_replaced_in_any_order_of_modes(source: Path):
    for mode, fps in (('frames', '10'), ('videos', '10'), ('frames', '5'), ('videos', '5')):
        assert thumos.main(command(source, '--mode', mode, '--fps', fps)) == 0
    assert len(list((source / 'out' / 'frames' / IDS[0]).iterdir())) == 20
    assert probe_video(source / 'out' / 'videos' / f'{IDS[0]}.mp4').num_frames == 20


@pytest.mark.parametrize('mode', ['frames', 'videos'])
@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_run_killed_around_its_last_rename_can_be_run_again(
    source: Path, monkeypatch, mode: str, moment: str
):
    """Nothing is taken for the user's, and nothing old for new, whenever the process ends."""
    assert thumos.main(command(source, '--mode', mode)) == 0
    replace, target = os.replace, source / 'out' / mode / (IDS[0] + '.mp4' * (mode == 'videos'))

    def killed(start: Path, end: Path) -> None:
        if moment == 'after' or Path(end) != target:
            replace(start, end)
        if Path(end) == target:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', killed)
        assert thumos.main(command(source, '--mode', mode, '--fps', '5')) == 130
    for fps, count in (('5', 20), ('10', 40)):
        assert thumos.main(command(source, '--mode', mode, '--fps', fps)) == 0
        if mode == 'frames':
            assert len(list(target.iterdir())) == count
        else:
            assert probe_video(target).num_frames == count


def test_subsets_of_activitynet(tmp_path: Path, capsys):
    path, out = activitynet_files(tmp_path), tmp_path / 'out'
    arguments = ['--annotations', str(path), '--annotations-only', '--out', str(out)]
    for names, words in (
        (['val'], "no video is of subset val; name some of ['training', 'validation'] by"),
        (['training', 'val'], 'no video is of subset val; name'),
    ):
        assert activitynet.main([*arguments, '--subsets', *names]) == 2
        assert f'{path}: {words}' in capsys.readouterr().err and not out.exists()
    assert activitynet.main([*arguments, '--subsets', 'validation']) == 0
    assert list(read_json(out / 'annotations.json')['database']) == ['b', 'c']
    path.write_text(path.read_text().replace('"training"', '"test"'))
    assert activitynet.main(arguments) == 0
    assert list(read_json(out / 'annotations.json')['database']) == ['b', 'c']
    path.write_text(path.read_text().replace('"validation"', '"test"'))
    assert activitynet.main(arguments) == 2
    words = "no video is of subset training or validation; name some of ['test'] by --subsets"
    assert words in capsys.readouterr().err
    (tmp_path / 'all').write_text('a\nb\nc\n')
    options = ['--subsets', 'test', '--blocked', str(tmp_path / 'all')]
    assert activitynet.main([*arguments, *options]) == 2
    assert 'all videos are left out' in capsys.readouterr().err
    path.write_text('{"database": {}}')
    assert activitynet.main(arguments) == 2
    assert 'field "database" names no video' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(duration=None), 'field "duration" (seconds) is missing'),
        (dict(duration='12.5'), 'field "duration" must be a finite number, got \'12.5\''),
        (dict(duration=0), 'field "duration" must be > 0'),
        (dict(subset=['training']), 'field "subset" must be a string'),
        (dict(annotations=None), 'field "annotations" must be a list'),
        (dict(annotations=[{'segment': [0, 1], 'label': None}]), 'annotations[0]: needs a string'),
        (dict(annotations=[{'segment': 1, 'label': 'x'}]), 'annotations[0]: field "segment"'),
        (dict(fps='25'), 'field "fps" must be a finite number'),
    ],
)
def test_mistakes_in_annotations_are_one_sentence(tmp_path: Path, capsys, changes, words):
    path = activitynet_files(tmp_path, **changes)
    arguments = ['--annotations', str(path), '--annotations-only', '--out', str(tmp_path / 'out')]
    assert activitynet.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f'{path}: video "a"' in line and words in line
    assert not (tmp_path / 'out').exists()


def test_annotations_of_the_user_are_not_replaced(tmp_path: Path, capsys):
    mine = tmp_path / 'out' / 'annotations.json'
    arguments = ['--annotations', str(activitynet_files(tmp_path)), '--out', str(mine.parent)]
    arguments.append('--annotations-only')
    mine.parent.mkdir()
    mine.write_text('{"version": "mine", "database": {}}')
    assert activitynet.main(arguments) == 2
    assert f'{mine} would be replaced, but this command did not' in capsys.readouterr().err
    assert mine.read_text() == '{"version": "mine", "database": {}}'
    assert [*mine.parent.iterdir()] == [mine]
    mine.unlink()
    for subsets, count in ((('training',), 1), (('training', 'validation'), 3)):
        assert activitynet.main([*arguments, '--subsets', *subsets]) == 0
        assert len(load_annotations(mine).videos) == count


def test_annotations_of_another_census_are_replaced(tmp_path: Path):
    database = {key: {'duration': 4.0, 'annotations': []} for key in IDS}
    (tmp_path / 'thumos.json').write_text(json.dumps({'database': database}))
    arguments = ['--annotations', str(tmp_path / 'thumos.json'), '--out', str(tmp_path / 'out')]
    out = tmp_path / 'out' / 'annotations.json'
    out.parent.mkdir()
    out.write_text('{"version": "THUMOS\'14, census of 213 test videos", "database": {}}')
    assert thumos.main([*arguments, '--annotations-only']) == 0
    assert read_json(out)['database'].keys() == database.keys()
