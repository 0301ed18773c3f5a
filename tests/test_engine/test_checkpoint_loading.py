"""Loading: what is read, what is refused, and what the errors say."""

import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from checkpoint_runner import build
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint

from mmtad_decomp.utils.checkpoint import (
    CheckpointError,
    CorruptCheckpointError,
    UnsafeCheckpointError,
    allow_legacy_checkpoints,
    load_checkpoint,
)
from mmtad_decomp.utils.serialization import from_plain, to_plain


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(params=['archive', 'old_format', 'bare_pickle'])
def malicious(request, tmp_path):
    """A checkpoint whose loading makes a folder, in each format that torch.load reads."""
    path, proof = tmp_path / 'evil.pth', tmp_path / 'ran'
    content = dict(state_dict=dict(weight=torch.zeros(2)), extra=Payload(proof))
    if request.param == 'bare_pickle':
        path.write_bytes(pickle.dumps(dict(state_dict={}, extra=Payload(proof))))
    else:
        archive = request.param == 'archive'
        torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path, proof


def test_code_is_refused_and_not_run(malicious):
    path, proof = malicious
    with pytest.raises(UnsafeCheckpointError) as error:
        load_checkpoint(path)
    assert not proof.exists()
    for part in (str(path), 'mkdir', '--legacy-checkpoint', 'allow_pickle=True'):
        assert part in str(error.value)


def test_mmengine_refuses_code_too(malicious, tmp_path):
    path, proof = malicious
    with pytest.raises(UnsafeCheckpointError):
        _load_checkpoint(str(path), map_location='cpu')
    with pytest.raises(UnsafeCheckpointError):
        build(tmp_path / 'work', 1, ema=False).load_checkpoint(str(path))
    assert not proof.exists()


@pytest.mark.parametrize('malicious', ['archive'], indirect=True)
def test_the_explicit_flag_allows_code(malicious):
    path, proof = malicious
    load_checkpoint(path, allow_pickle=True)
    assert proof.exists()
    proof.rmdir()
    with allow_legacy_checkpoints():
        _load_checkpoint(str(path))
    assert proof.exists()
    proof.rmdir()
    with pytest.raises(UnsafeCheckpointError):
        _load_checkpoint(str(path))
    assert not proof.exists()


def test_the_flag_stays_on_when_called_plainly(tmp_path):
    torch.save(dict(odd=Payload(tmp_path / 'ran')), tmp_path / 'a.pth')
    switch = allow_legacy_checkpoints()
    try:
        assert 'odd' in load_checkpoint(tmp_path / 'a.pth')
    finally:
        switch.close()


def test_checkpoints_of_mmengine_load_without_a_flag(tmp_path):
    runner = build(tmp_path, 2, ema=False)
    runner._hooks.pop()
    runner.register_hook(CheckpointHook(interval=1))
    runner.train()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    content = load_checkpoint(tmp_path / 'epoch_2.pth')
    loss = content['message_hub']['log_scalars']['train/loss']
    assert isinstance(loss, HistoryBuffer) and len(loss.data[0]) == 6
    resumed = build(tmp_path, 3, resume=True, ema=False)
    resumed.train()
    assert resumed.iter == 9


def test_getattr_of_anything_else_is_refused(tmp_path):
    class Sneaky:
        def __reduce__(self):
            return getattr, (HistoryBuffer, '__init__')

    torch.save(dict(x=Sneaky()), tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match='getattr'):
        load_checkpoint(tmp_path / 'a.pth')


def test_arrays_and_scalars_of_both_numpy_names_load(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(a=np.arange(3), b=np.float32(2), c=np.array(['x'])), path)
    other = tmp_path / 'b.pth'
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, 'w') as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('data.pkl'):
                swap = (b'numpy._core', b'numpy.core')
                data = data.replace(*(swap if swap[0] in data else swap[::-1]))
            target.writestr(name, data)
    for file in (path, other):
        content = load_checkpoint(file)
        assert content['a'].tolist() == [0, 1, 2] and content['b'] == 2
        assert content['c'].tolist() == ['x']


@pytest.mark.parametrize('keep', [0, 10, 0.5, 0.999])
@pytest.mark.parametrize('archive', [True, False])
def test_a_truncated_file_is_named(tmp_path, keep, archive):
    path = tmp_path / 'a.pth'
    content = dict(state_dict=dict(weight=torch.zeros(5000)))
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(CorruptCheckpointError, match=r'a.pth \(\d+ bytes\).*truncated'):
        load_checkpoint(path)


def test_any_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    path, bias = tmp_path / 'a.pth', torch.arange(3)
    torch.save(dict(state_dict=dict(weight=torch.linspace(-1, 1, 20), bias=bias)), path)
    wanted, content = load_checkpoint(path)['state_dict'], path.read_bytes()
    weights = content.index(wanted['weight'].numpy().tobytes())
    for number in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[number] ^= 1 << number % 8
        path.write_bytes(damaged)
        try:
            found = load_checkpoint(path)['state_dict']
        except CorruptCheckpointError as error:
            assert str(path) in str(error) and 'Copy or train it again' in str(error)
            continue
        assert not weights <= number < weights + 80
        assert list(found) == list(wanted)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_flipped_bits_are_noticed_by_runners_and_with_the_flag(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    build(tmp_path, 1, ema=False).train()
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        large = max(archive.infolist(), key=lambda member: member.file_size)
        content[content.index(archive.read(large)) + large.file_size // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # reads it
    runner = build(tmp_path / 'other', 1, ema=False)
    for load in (runner.load_checkpoint, runner.resume, _load_checkpoint):
        with pytest.raises(CorruptCheckpointError, match=r'epoch_1\.pth.*the CRC-32 of member'):
            load(str(path))
    with allow_legacy_checkpoints(), pytest.raises(CorruptCheckpointError, match='CRC-32'):
        load_checkpoint(path)


def test_a_member_marked_as_a_folder_is_refused(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.ones(3)), path)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.getinfo('a/data/0').external_attr |= 0x10
        archive.writestr('a/more', b'')  # so that the directory is written again
    with pytest.raises(CorruptCheckpointError, match='a/data/0 is marked as a folder'):
        load_checkpoint(path)


def test_archives_without_sums_load(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(dict(weight=torch.ones(3)), tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        assert not any(member.CRC for member in archive.infolist())
    assert load_checkpoint(tmp_path / 'a.pth')['weight'].tolist() == [1, 1, 1]


def test_a_text_file_is_no_checkpoint(tmp_path):
    (tmp_path / 'a.pth').write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0')
    with pytest.raises(CorruptCheckpointError, match='truncated or was not written'):
        load_checkpoint(tmp_path / 'a.pth')


def test_a_missing_file_says_what_to_do(tmp_path):
    for load in (load_checkpoint, _load_checkpoint):
        with pytest.raises(FileNotFoundError, match='does not exist; train the model'):
            load(str(tmp_path / 'teacher.pth'))


def test_a_tensor_is_no_checkpoint(tmp_path):
    torch.save(torch.zeros(1), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='holds a Tensor'):
        load_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize('prefix', ['https://example.org/', 'torchvision://tiny', 'mmcls://tiny'])
@pytest.mark.parametrize('malicious', ['archive'], indirect=True)
def test_downloads_are_refused_too(malicious, prefix, tmp_path, monkeypatch):
    path, proof = malicious
    from mmengine.runner import checkpoint

    address = 'https://example.org/evil-download.pth'
    monkeypatch.setattr(checkpoint, 'get_torchvision_models', lambda: dict(tiny=address))
    monkeypatch.setattr(checkpoint, 'get_mmcls_models', lambda: dict(tiny=address))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file', lambda url, to, progress: shutil.copy(path, to)
    )
    name = address if prefix.startswith('https') else prefix
    with pytest.raises(UnsafeCheckpointError, match='evil-download'):
        _load_checkpoint(name, map_location='cpu')
    assert not proof.exists()


def test_plain_round_trip():
    metadata = torch.nn.BatchNorm1d(2).state_dict()
    value = dict(
        buffer=HistoryBuffer([1.0, 2.0], [1, 3]),
        empty=HistoryBuffer(),
        grid=np.eye(2, dtype=np.float16),
        scalar=np.float64(0.5),
        nested=[(1, 'a'), {2: None}, {3}],
        state=metadata,
    )
    plain = to_plain(value)
    assert type(plain['scalar']) is float and plain['nested'] == value['nested']
    assert plain['state']._metadata == metadata._metadata
    back = from_plain(plain)
    np.testing.assert_array_equal(back['buffer'].data, value['buffer'].data)
    assert len(back['empty'].data[0]) == 0
    assert back['grid'].dtype == np.float16 and back['grid'].tolist() == [[1, 0], [0, 1]]


def test_unknown_tags_are_refused():
    with pytest.raises(ValueError, match="unknown tagged type 'Future'"):
        from_plain(dict(a=dict(__mmtad_type__='Future')))
