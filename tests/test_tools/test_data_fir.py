"""Preparing FIR from the real files."""

import json
from pathlib import Path

import pytest
from data_helpers import make_frames

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import probe_video
from tools.data.common import write_video
from tools.data.fir import prepare


def test_real_data(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert prepare.main([str(shared_data / 'fir'), '--out', str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert '20200626_161431' in printed and '21 of 21 videos have another clock' in printed
    counts = {}
    for subset in ('training', 'validation'):
        loaded = load_annotations(tmp_path / 'annotations.json', subset)
        assert loaded.classes == prepare.CLASSES
        counts[subset] = (loaded.census.videos, loaded.census.instances)
    assert counts == {'training': (11, 115), 'validation': (10, 110)}
    video = next(iter(loaded.videos.values()))
    info = probe_video(tmp_path / video.path)
    assert (video.fps, video.num_frames) == (12.5, info.num_frames)
    assert (tmp_path / video.path).is_symlink()


def test_uncertain_videos_can_be_left_out(shared_data: Path, tmp_path: Path):
    arguments = [str(shared_data / 'fir'), '--out', str(tmp_path), '--exclude-uncertain']
    assert prepare.main(arguments) == 0
    assert len(load_annotations(tmp_path / 'annotations.json').videos) == 18


def make_source(folder: Path, duration: float, label: str = 'walk') -> Path:
    (folder / 'videos').mkdir(parents=True)
    write_video(folder / 'videos' / 'a.mp4', make_frames(25), 12.5)
    items = [{'label': label, 'segment': [0.2, 1.0]}, {'label': 'sit', 'segment': [1.0, 1.5]}]
    video = {'subset': 'training', 'duration': duration, 'annotations': items}
    (folder / 'annotations.json').write_text(json.dumps({'database': {'a': video}}))
    return folder


def test_copy_and_state_labels(tmp_path: Path):
    source = make_source(tmp_path / 'src', 2.0)
    assert prepare.main([str(source), '--out', str(tmp_path / 'out'), '--copy']) == 0
    assert not (tmp_path / 'out' / 'videos' / 'a.mp4').is_symlink()
    assert load_annotations(tmp_path / 'out' / 'annotations.json').census.instances == 1


@pytest.mark.parametrize(
    ('change', 'code', 'message'),
    [
        ('none', 2, 'annotations.json does not exist'),
        ('label', 2, 'video "a", annotations[0]: label "fly" is neither'),
        ('length', 1, 'lasts 2.00 s, but the annotation says 9.00 s'),
        ('video', 1, 'a.mp4 does not exist'),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, change: str, code: int, message: str
):
    source = make_source(
        tmp_path / 'src',
        9.0 if change == 'length' else 2.0,
        'fly' if change == 'label' else 'walk',
    )
    if change == 'none':
        (source / 'annotations.json').unlink()
    if change == 'video':
        (source / 'videos' / 'a.mp4').unlink()
    assert prepare.main([str(source), '--out', str(tmp_path / 'out')]) == code
    error = capsys.readouterr().err
    assert message in error
    assert ('Nothing is written; fix' in error) == (code == 1)
    assert not (tmp_path / 'out' / 'annotations.json').exists()


@pytest.mark.parametrize(
    ('change', 'code', 'message'),
    [
        ('label', 2, 'label "fly" is neither'),
        ('video', 1, 'a.mp4 does not exist'),
        ('place', 2, 'is another video than'),
    ],
)
def test_mistakes_that_no_video_shows_come_before_videos_are_decoded(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch, change, code, message
):
    read: list[Path] = []
    monkeypatch.setattr('mmtad_decomp.datasets.probe_video', read.append)
    source = make_source(tmp_path / 'src', 2.0, 'fly' if change == 'label' else 'walk')
    if change == 'video':
        (source / 'videos' / 'a.mp4').unlink()
    if change == 'place':
        (tmp_path / 'out' / 'videos').mkdir(parents=True)
        (tmp_path / 'out' / 'videos' / 'a.mp4').write_text('mine')
    arguments = [str(source), '--out', str(tmp_path / 'out'), '--workers', '1']
    assert prepare.main(arguments) == code
    assert message in capsys.readouterr().err and read == []
