"""The synthetic data set."""

from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import iterate_frames, probe_video
from tools.data.common import read_json
from tools.data.synthetic import cue_probe, render
from tools.data.synthetic.timeline import APPEARANCE_CLASSES, CLASSES, FPS, MOTION_CLASSES, SIZE


@pytest.fixture(scope='module')
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('synthetic')
    assert render.main(['--out', str(out), '--train', '2', '--val', '1', '--workers', '1']) == 0
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    names = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def test_annotations_agree_with_videos(rendered: Path):
    database = read_json(rendered / 'annotations.json')['database']
    assert [entry['subset'] for entry in database.values()] == ['training'] * 2 + ['validation']
    for entry in database.values():
        info = probe_video(rendered / entry['path'])
        assert (info.num_frames, info.fps) == (entry['frame'], entry['fps'])
        assert info.duration == entry['duration']
        assert (info.width, info.height) == (SIZE, SIZE)


def test_annotations_need_no_cleaning(rendered: Path):
    loaded = load_annotations(rendered / 'annotations.json')
    assert loaded.classes == CLASSES
    assert not loaded.census.dropped and not loaded.census.clipped
    for video in loaded.videos.values():
        assert 3 <= len(video.segments) <= 6
        starts, ends = video.segments.T
        assert (ends - starts >= 1).all() and (ends - starts <= 5).all()
        assert (starts[1:] - ends[:-1] >= 1).all(), 'background must separate the actions'


def test_same_seed_same_bytes(rendered: Path, tmp_path: Path):
    common = ['--train', '2', '--val', '1', '--workers', '1']
    render.main(['--out', str(tmp_path / 'again'), *common])
    assert files_of(tmp_path / 'again') == files_of(rendered)
    first = render.plan_videos(0, {'training': 1})
    other = render.plan_videos(1, {'training': 1})
    assert not np.array_equal(first['training_000'][1].angle, other['training_000'][1].angle)


def test_idempotent_and_renders_a_missing_video(rendered: Path, capsys: pytest.CaptureFixture):
    common = ['--out', str(rendered), '--train', '2', '--val', '1', '--workers', '1']
    before = files_of(rendered)
    times = {path: path.stat().st_mtime_ns for path in rendered.rglob('*.mp4')}
    assert render.main(common) == 0
    assert 'complete already' in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in rendered.rglob('*.mp4')}
    (rendered / 'videos' / 'training_001.mp4').unlink()
    assert render.main(common) == 0
    assert files_of(rendered) == before


def test_videos_of_others_stay(tmp_path: Path):
    mine = tmp_path / 'videos' / 'training_000.mp4'
    mine.parent.mkdir()
    mine.write_text('mine')
    with pytest.raises(ValueError, match=f'{mine} would be replaced'):
        render.main(['--out', str(tmp_path), '--train', '1', '--val', '1'])
    assert files_of(tmp_path) == {'videos/training_000.mp4': b'mine'}


def test_classes_come_up_equally_often():
    plans = render.plan_videos(3, {'training': 24, 'validation': 12})
    names = [name for _, line, _ in plans.values() for _, _, name in line.actions]
    counts = [names.count(name) for name in CLASSES]
    assert max(counts) - min(counts) <= 2


def test_a_class_has_its_cue_and_no_other():
    plans = render.plan_videos(0, {'training': 24})
    for _, line, _ in plans.values():
        for start, stop, name in line.actions:
            moved = np.ptp(line.centre[start:stop], axis=0).max()
            spun = np.abs(np.diff(line.angle[start:stop])).min()
            assert (moved > 5) == (name in MOTION_CLASSES)
            assert (spun > 0.1) == (name in APPEARANCE_CLASSES)
            assert np.ptp(line.colour[start:stop], axis=0).max() == 0
            assert (line.centre[start:stop] > 16).all()
            assert (line.centre[start:stop] < SIZE - 16).all()


def test_background_moves_too(rendered: Path):
    database = read_json(rendered / 'annotations.json')['database']
    entry = database['training_000']
    frames = np.stack(list(iterate_frames(rendered / entry['path']))).astype(np.float32)
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    background = np.ones(len(change), bool)
    for item in entry['annotations']:
        start, stop = (round(t * FPS) for t in item['segment'])
        background[start:stop] = False
    assert change[background].max() > np.median(change[~background])


def test_probe_runs(rendered: Path):
    table = cue_probe.run(rendered, steps=2, seeds=1, context=0.0)
    assert [line.split('|')[1].strip() for line in table.splitlines()[2:]] == list(
        cue_probe.INPUTS
    )
