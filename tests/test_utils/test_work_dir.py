"""The checkpoint that a work directory means, also after it was copied or moved."""

import shutil

import pytest

from mmtad_decomp.utils import latest_checkpoint, resolve_checkpoint


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'one'
    folder.mkdir()
    (folder / 'epoch_3.pth').write_bytes(b'weights')
    (folder / 'last_checkpoint').write_text(f'{folder / "epoch_3.pth"}\n')
    return folder


@pytest.mark.parametrize('way', [shutil.copytree, shutil.move])
def test_another_place_means_its_own_checkpoint(work_dir, way):
    place = work_dir.with_name('place')
    way(str(work_dir), str(place))
    assert resolve_checkpoint(place) == latest_checkpoint(place) == str(place / 'epoch_3.pth')


def test_checkpoints_that_are_kept_elsewhere(work_dir):
    """`CheckpointHook(out_dir=...)`, or a copy of the log files alone."""
    note = work_dir.with_name('logs') / 'last_checkpoint'
    note.parent.mkdir()
    shutil.copy(work_dir / 'last_checkpoint', note)
    assert resolve_checkpoint(note.parent) == str(work_dir / 'epoch_3.pth')
    note.write_text('s3://bucket/one/epoch_3.pth')
    assert latest_checkpoint(note.parent) == 's3://bucket/one/epoch_3.pth'


@pytest.mark.parametrize('text', ['', '/gone/epoch_4.pth'])
def test_a_checkpoint_that_is_nowhere(work_dir, text):
    (work_dir / 'last_checkpoint').write_text(text)
    with pytest.raises(FileNotFoundError, match=r'name another checkpoint of .*one'):
        latest_checkpoint(work_dir)


def test_no_checkpoint_at_all(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    with pytest.raises(FileNotFoundError, match='neither a file nor a work directory'):
        resolve_checkpoint(tmp_path)
