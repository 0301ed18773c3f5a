"""Preparing 50 Salads from the real files."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from tools.data.salads import prepare


def test_real_data(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    source = shared_data / 'salads'
    assert prepare.main([str(source), '--out', str(tmp_path)]) == 0
    assert 'instances       770' in capsys.readouterr().out
    users = {
        k: v['user'] for k, v in json.loads((source / 'videos.json').read_text())['eval'].items()
    }
    tested = []
    for fold in range(25):
        file = tmp_path / f'annotations_fold{fold}.json'
        held_out = load_annotations(file, 'validation').videos
        trained = load_annotations(file, 'training').videos
        assert (len(trained), len(held_out)) == (8, 2)
        assert not {users[v] for v in trained} & {users[v] for v in held_out}
        tested += held_out
    assert sorted(tested) == sorted(users) and not (tmp_path / 'annotations_fold25.json').exists()
    # a segment is a run of labels, at the estimated rate
    video = load_annotations(tmp_path / 'annotations_fold0.json').videos[tested[0]]
    with np.load(source / f'eval_{tested[0]}.npz') as content:
        labels, features = content['labels'], content['accelerometers']
    drawn = np.zeros(len(labels), dtype=int)
    for (start, end), label in zip(video.segments, video.labels):
        drawn[round(start * 4.2) : round(end * 4.2)] = label + 1
    np.testing.assert_array_equal(drawn, labels)
    stored = np.load(tmp_path / 'accelerometers' / f'{tested[0]}.npy')
    assert stored.dtype == np.float32 and len(stored) == -(-len(features) // 2)
    odd = features[-1:] if len(features) % 2 else features[:0]  # the last of an odd number alone
    pairs = np.concatenate([features, odd]).astype(np.float64)
    np.testing.assert_allclose(stored, pairs.reshape(len(stored), 2, 30).mean(axis=1), rtol=1e-5)


def test_runs_of_labels():
    labels = np.array([3, 3, 0, 1, 2, 2, 0, 0, 2])
    assert prepare.label_runs(labels) == [(0, 2, 3), (3, 4, 1), (4, 6, 2), (8, 9, 2)]
    assert prepare.label_runs(np.zeros(4, dtype=int)) == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(labels=np.full(20, 10)), r'"labels" must be in 0 to 9, got 10 to 10'),
        (dict(video=np.zeros((19, 128))), r'"video" must have shape \(20, 128\), got \(19, 128\)'),
        (dict(accelerometers=np.full((20, 30), np.nan)), r'"accelerometers" holds NaN'),
    ],
)
def test_malformed_files_are_named(tmp_path, capsys, change, message):
    arrays = dict(
        video=np.zeros((20, 128)), accelerometers=np.zeros((20, 30)), labels=np.zeros(20, int)
    )
    np.savez(tmp_path / 'eval_01-1.npz', **(arrays | change))
    videos = {'eval': {'01-1': dict(user=1, features_from_split=1, steps=20)}}
    (tmp_path / 'videos.json').write_text(json.dumps(videos))
    with pytest.raises(ValueError, match=r'eval_01-1\.npz: array ' + message):
        prepare.read_video(tmp_path / 'eval_01-1.npz', 20, 9)
    assert prepare.main([str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert 'eval_01-1.npz' in capsys.readouterr().err


def test_missing_files(tmp_path, capsys):
    assert prepare.main([str(tmp_path)]) == 2
    assert 'videos.json does not exist' in capsys.readouterr().err


def test_annotations_of_the_user_are_not_replaced(tmp_path, capsys):
    arrays = dict(video=np.zeros((4, 128)), accelerometers=np.zeros((4, 30)))
    videos = {}
    for user in (1, 2):
        np.savez(tmp_path / f'eval_0{user}-1.npz', **arrays, labels=np.array([0, 1, 1, 0]))
        videos[f'0{user}-1'] = dict(user=user, features_from_split=1, steps=4)
    (tmp_path / 'videos.json').write_text(json.dumps({'eval': videos}))
    mine = tmp_path / 'out' / 'annotations_fold1.json'
    mine.parent.mkdir()
    mine.write_text('{"database": {}}')
    command = [str(tmp_path), '--out', str(mine.parent)]
    assert prepare.main(command) == 2
    assert f'{mine} would be replaced' in capsys.readouterr().err
    assert mine.read_text() == '{"database": {}}' and [*mine.parent.iterdir()] == [mine]
    mine.unlink()
    assert [prepare.main(command) for _ in range(2)] == [0, 0]
    assert load_annotations(mine, 'validation').videos.keys() == {'02-1'}
