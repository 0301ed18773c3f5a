"""What comes from files of others: names, archives, configs in checkpoints."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from mmtad_decomp.apis.video_inputs import find_videos
from mmtad_decomp.utils import (
    ConfigError,
    UnsafeNameError,
    atomic_write,
    config_as_data,
    path_below,
    refuse_bombs,
)


@pytest.mark.parametrize('name', ['../x', 'a/../../x', '/x', '..', '', 'C:\\x', '..\\x', 'a\0b'])
def test_names_that_lead_out_of_a_folder(name, tmp_path):
    with pytest.raises(UnsafeNameError, match='cannot name a file'):
        path_below(tmp_path, name)


@pytest.mark.parametrize('name', ['x', 'P01/P01_1', 'ä 漢字', 'v_..x', 'a..b', '-x'])
def test_names_of_files(name, tmp_path):
    assert path_below(tmp_path, name) == tmp_path / name


def test_ids_of_videos_of_one_name_stay_relative(tmp_path):
    for folder in ('a/same', 'b/same'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'v.mp4').touch()
    ids = [v.video_id for v in find_videos([str(p) for p in tmp_path.rglob('v.mp4')])]
    assert len(set(ids)) == 2
    for name in ids:
        path_below(tmp_path, name)


def test_bombs(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('small', bytes(1 << 20))
    with zipfile.ZipFile(tmp_path / 'x.zip') as archive:
        refuse_bombs(archive)
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('large', bytes(65 << 20))
    with (
        zipfile.ZipFile(tmp_path / 'x.zip') as archive,
        pytest.raises(zipfile.BadZipFile, match='bomb'),
    ):
        refuse_bombs(archive)


def test_a_config_as_data():
    text = 'a = dict(b=[1, (2, -3.5)], **{})\n'
    with pytest.raises(ConfigError):
        config_as_data(text, 'x')
    config = config_as_data(
        "a = dict(b=[1, (2, -3.5)], c={'d': None})\n"
        "tious = dict({'0.3:0.7': (0.3, inf)}, more=True)\n"
        "model = dict(type='mmaction.SmallMapConv2d')\n"
        "custom_imports = dict(imports=['mmtad_decomp'], allow_failed_imports=False)\n",
        'x',
    )
    assert config.a.b == [1, (2, -3.5)] and config.a.c == dict(d=None)
    assert config.tious == {'0.3:0.7': (0.3, np.inf), 'more': True}


@pytest.mark.parametrize(
    'text',
    [
        "import os\nos.system('true')",
        "model = __import__('os').getcwd()",
        "model = dict(type='os.getcwd')",
        "model = dict(x=[dict(type='subprocess.getoutput', cmd='true')])",
        "model = dict(type='mmengine.utils.package_utils.install_package')",
        "model = dict(type='mmengine.load', file='x.pkl')",
        "custom_imports = dict(imports=['antigravity'])",
        'model = [x for x in (1,)]',
        'a, b = 1, 2',
        'model = dict(',
        'model = open',
    ],
)
def test_code_in_a_config_is_refused(text):
    with pytest.raises(ConfigError, match='the config in x is not read, because it may run code'):
        config_as_data(text, 'the config in x')


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    code = (
        'import os, sys; from mmtad_decomp.utils.atomic import atomic_write\n'
        'with atomic_write(sys.argv[1]) as file:\n'
        '    file.write(b"half"); file.flush(); os.kill(os.getpid(), 9)'
    )
    path = tmp_path / 'result.json'
    for target in (path, tmp_path / 'other.json'):
        subprocess.run([sys.executable, '-W', 'ignore', '-c', code, str(target)])
    assert len(list(tmp_path.iterdir())) == 2
    running = tmp_path / f'.result.json.{os.getpid()}-x.tmp'
    running.touch()
    with atomic_write(path) as file:
        file.write(b'whole')
    names = {p.name.split('.')[1] for p in tmp_path.glob('.*') if p != running}
    assert names == {'other'} and running.exists() and path.read_bytes() == b'whole'
