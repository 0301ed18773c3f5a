"""GRID: preparing the whole set, and the embedded part of it."""

import json
from pathlib import Path

import pytest
from data_helpers import make_frames

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import probe_video
from tools.data.common import write_video
from tools.data.grid import make_mini, prepare

ROOT = Path(__file__).resolve().parents[2]


def test_real_data(shared_data: Path, tmp_path: Path):
    assert prepare.main([str(shared_data / 'grid'), '--out', str(tmp_path)]) == 0
    counts = {}
    for subset in ('training', 'validation'):
        loaded = load_annotations(tmp_path / 'annotations.json', subset)
        assert loaded.classes == prepare.CLASSES
        counts[subset] = (loaded.census.videos, loaded.census.instances)
    assert counts == {'training': (495, 2475), 'validation': (250, 1250)}


def make_source(folder: Path) -> Path:
    (folder / 'videos').mkdir(parents=True)
    labels = ('bin', 'blue', 'at', 'f', 'two', 'now')
    items = [
        {'label': label, 'segment': [0.1 * i, 0.1 * i + 0.1]} for i, label in enumerate(labels)
    ]
    database = {}
    for number in range(4):
        write_video(folder / 'videos' / f'v{number}.mp4', make_frames(25, 64, 96), 25)
        subset = 'training' if number < 3 else 'validation'
        database[f'v{number}'] = {'subset': subset, 'duration': 1.0, 'annotations': items}
    (folder / 'annotations.json').write_text(json.dumps({'database': database}))
    return folder


def test_letters_are_background_and_unknown_words_an_error(tmp_path: Path, capsys):
    source = make_source(tmp_path / 'src')
    out = tmp_path / 'out'
    assert prepare.main([str(source), '--out', str(out), '--workers', '1']) == 0
    loaded = load_annotations(out / 'annotations.json')
    assert loaded.census.instances == 4 * 5
    file = source / 'annotations.json'
    file.write_text(file.read_text().replace('"two"', '"twelve"'))
    assert prepare.main([str(source), '--out', str(tmp_path / 'other')]) == 2
    assert 'video "v0", annotations[4]: label "twelve" is neither' in capsys.readouterr().err


@pytest.mark.parametrize('tool', [prepare, make_mini])
def test_the_source_is_not_written_to(tmp_path: Path, capsys, tool):
    source = make_source(tmp_path / 'src')
    before = {path: path.read_bytes() for path in source.rglob('*.*')}
    (tmp_path / 'link').symlink_to(source)
    assert tool.main([str(source), '--out', str(tmp_path / 'link')]) == 2
    assert f'{tmp_path}/link is {source}, whose files' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in source.rglob('*.*')} == before
    (source / 'videos').rename(tmp_path / 'videos')
    (source / 'videos').symlink_to(tmp_path / 'videos')
    options = ['--train', '2', '--val', '1'] if tool is make_mini else ['--workers', '1']
    assert tool.main([str(source), '--out', str(tmp_path), *options]) == (tool is make_mini) * 2
    assert all(path.read_bytes() == content for path, content in before.items())


def test_mini_draws_recordings_and_makes_frames_small(tmp_path: Path):
    source = make_source(tmp_path / 'src')
    options = ['--train', '2', '--val', '1', '--short-side', '32']
    for name in ('a', 'b'):
        assert make_mini.main([str(source), '--out', str(tmp_path / name), *options]) == 0
    first, second = ((tmp_path / name / 'annotations.json').read_text() for name in 'ab')
    assert first == second
    loaded = load_annotations(tmp_path / 'a' / 'annotations.json')
    assert loaded.classes == make_mini.CLASSES and len(loaded.videos) == 3
    assert loaded.census.instances == 3 * 3  # bin, blue, now
    for video in loaded.videos.values():
        info = probe_video(tmp_path / 'a' / video.path)
        assert (info.width, info.height, info.num_frames) == (48, 32, 25)


@pytest.mark.parametrize(
    ('subset', 'videos', 'instances'), [('training', 400, 1200), ('validation', 125, 375)]
)
def test_the_embedded_part_is_whole(subset: str, videos: int, instances: int):
    folder = ROOT / 'data' / 'grid_mini'
    loaded = load_annotations(folder / 'annotations.json', subset)
    assert loaded.classes == make_mini.CLASSES
    assert (loaded.census.videos, loaded.census.instances) == (videos, instances)
    for video in list(loaded.videos.values())[::40]:
        info = probe_video(folder / video.path)
        assert (info.width, info.height, info.num_frames, float(info.fps)) == (48, 32, 75, 25)


@pytest.mark.parametrize('tool', [prepare, make_mini])
def test_annotations_of_the_user_are_not_replaced(tmp_path: Path, capsys, tool):
    source, mine = make_source(tmp_path / 'src'), tmp_path / 'out' / 'annotations.json'
    options = ['--train', '2', '--val', '1'] if tool is make_mini else ['--workers', '1']
    command = [str(source), '--out', str(mine.parent), *options]
    mine.parent.mkdir()
    mine.write_text('{"database": {}}')
    assert tool.main(command) == 2
    assert f'{mine} would be replaced' in capsys.readouterr().err
    assert mine.read_text() == '{"database": {}}' and [*mine.parent.iterdir()] == [mine]
    mine.unlink()
    assert [tool.main(command) for _ in range(2)] == [0, 0]
