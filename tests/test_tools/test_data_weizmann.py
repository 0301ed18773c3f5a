"""Composing untrimmed videos from the real Weizmann clips."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets import iterate_frames, probe_video
from tools.data.common import read_json, write_video
from tools.data.weizmann import compose
from tools.data.weizmann.planning import FPS, Piece, annotate, lay_out
from tools.data.weizmann.rendering import ClipStore, render_frames


@pytest.fixture(scope='module')
def composed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('weizmann')
    arguments = ['--limit', '2', '--folds', '2', '--rounds', '1', '--workers', '1']
    assert compose.main([str(shared_data / 'weizmann'), '--out', str(out), *arguments]) == 0
    return out


def test_boundaries_lie_in_the_middle_of_blends():
    pieces = [
        Piece('a', 0, 50, True, 0),
        Piece('b', 0, 40, False, 8, 'run'),
        Piece('b', 39, 20, True, 0),
        Piece('c', 0, 30, False, 4, 'bend'),
    ]
    begins, total = lay_out(pieces)
    assert begins == [0, 42, 82, 98] and total == 128
    segments = [item['segment'] for item in annotate(pieces)]
    np.testing.assert_allclose(segments, np.array([[46, 82], [100, 128]]) / FPS)


def test_videos_agree_with_annotations(composed: Path):
    loaded = load_annotations(composed / 'annotations_fold0.json')
    assert not loaded.census.dropped and not loaded.census.clipped
    assert loaded.classes == ('bend', 'jack', 'jump', 'pjump', 'run', 'skip', 'wave1', 'wave2')
    for video in loaded.videos.values():
        info = probe_video(composed / video.path)
        assert (info.num_frames, float(info.fps)) == (video.num_frames, video.fps)
        assert (info.width, info.height) == (180, 144)


def test_folds_hold_actors_out(shared_data: Path):
    clips = compose.read_clips(shared_data / 'weizmann')
    plans = compose.plan_videos(clips, compose.DISTRACTORS, rounds=2, seed=0)
    actors = sorted({clip.actor for clip in clips})
    shown = []
    for i in range(3):
        database = compose.fold_database(plans, actors[i::3])
        sources = {'training': [], 'validation': []}
        for video_id, entry in database.items():
            whole = [piece.clip for piece in plans[video_id] if not piece.held]
            sources[entry['subset']] += whole
        held_out = {clip.path for clip in clips if clip.actor in actors[i::3]}
        assert set(sources['validation']) == held_out
        assert not held_out & set(sources['training'])
        assert len(sources['validation']) == len(held_out), 'a clip is shown once in validation'
        shown += sources['validation']
    assert sorted(shown) == sorted(clip.path for clip in clips)


def test_background_has_distractors_and_cuts(composed: Path):
    for pieces in read_json(composed / 'composition.json').values():
        background = [piece for piece in pieces if piece['label'] is None]
        assert any(not piece['held'] for piece in background)
        assert any(
            before['label'] is None and piece['label'] is None and piece['fade'] > 0
            for before, piece in pairwise(pieces)
        )


def test_colour_cast_is_gone_and_poses_are_alive(composed: Path):
    video_id, pieces = next(iter(read_json(composed / 'composition.json').items()))
    frames = np.stack(list(iterate_frames(composed / f'videos/{video_id}.mp4'))).astype(np.float32)
    assert np.ptp(frames.mean((1, 2)), axis=0).max() < 12
    held = next(piece for piece in pieces[1:] if piece['held'])
    middle = held['begin'] + held['length'] // 2
    assert 0.1 < np.abs(frames[middle] - frames[middle - 1]).mean() < 4


def test_same_seed_same_bytes(composed: Path, shared_data: Path, tmp_path: Path):
    clips = compose.read_clips(shared_data / 'weizmann')
    plans = compose.plan_videos(clips, compose.DISTRACTORS, rounds=1, seed=0)
    video_id = 'daria_0a'
    store = ClipStore(shared_data / 'weizmann', {clip.path: clip for clip in clips})
    frames = render_frames(np.random.default_rng([0, *video_id.encode()]), store, plans[video_id])
    write_video(tmp_path / 'again.mp4', frames, FPS, crf=18)
    written = composed / 'videos' / f'{video_id}.mp4'
    assert (tmp_path / 'again.mp4').read_bytes() == written.read_bytes()


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert compose.main([str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert 'manifest.csv does not exist' in capsys.readouterr().err
    (tmp_path / 'manifest.csv').write_text('path,actor,label\na.avi,x,run\n')
    assert compose.main([str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert 'line 2: needs the columns' in capsys.readouterr().err
