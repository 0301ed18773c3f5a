"""What comes from files of others: names, archives, configs in checkpoints."""

import ast
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmtad_decomp.apis.video_inputs import find_videos
from mmtad_decomp.utils import (
    ConfigError,
    UnsafeNameError,
    config_as_data,
    embedded_config,
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
    ('checkpoint', 'value'),
    [
        (dict(meta=dict(cfg='a = 1')), 1),
        (dict(message_hub=dict(runtime_info=dict(cfg='a = 2'))), 2),
        # of a training that was resumed with another config
        (dict(meta=dict(cfg='a = 1'), message_hub=dict(runtime_info=dict(cfg='a = 2'))), 1),
        (dict(meta=None, message_hub=dict(runtime_info=[])), None),
        (dict(meta=dict(cfg=b'a = 1')), None),
    ],
)
def test_the_config_in_a_checkpoint(checkpoint, value):
    config = embedded_config(checkpoint, 'x')
    assert (config and config.a) == value


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
        embedded_config(dict(meta=dict(cfg=text)), 'x')


ROOT = Path(__file__).resolve().parents[2]
RUNS_CODE = {
    *('eval', 'exec', 'os.system', 'os.popen', 'marshal.load', 'marshal.loads', 'shelve.open'),
    *('pickle.load', 'pickle.loads', 'pickle.Unpickler', 'yaml.load', 'yaml.unsafe_load'),
    *('joblib.load', 'dill.load', 'dill.loads', 'pandas.read_pickle', 'torch.jit.load'),
}
ASKED_FOR = {  # by --legacy-checkpoint and --legacy, or a class that makes nothing but tensors
    'mmtad_decomp/utils/checkpoint.py': ['torch.load'],
    'tools/model_converters/common.py': ['torch.load'],
}


def calls_that_run_code(source):
    """Calls of a module that run what a file or a string holds, found in its syntax tree."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {k.arg: getattr(k.value, 'value', None) for k in node.keywords}
        unsafe = name in RUNS_CODE or given.get('allow_pickle') is True
        unsafe |= name == 'torch.load' and given.get('weights_only') is not True
        unsafe |= given.get('shell', False) is not False
        if unsafe:
            yield name


@pytest.mark.parametrize(
    'source, found',
    [
        ('torch.load(f)', ['torch.load']),
        ('torch.load(f, weights_only=False)', ['torch.load']),
        ('torch.load(f, weights_only=True); model.eval(); re.compile(x)', []),
        ('eval(text)', ['eval']),
        ('exec(open(f).read())', ['exec']),
        ('pickle.load(f)', ['pickle.load']),
        ('np.load(f, allow_pickle=True); np.load(f)', ['np.load']),
        ('subprocess.run(text, shell=True); subprocess.run([text])', ['subprocess.run']),
    ],
)
def test_calls_that_run_code_are_found(source, found):
    assert list(calls_that_run_code(source)) == found


def test_no_file_or_string_of_others_is_run():
    files = [
        f for d in ('mmtad_decomp', 'tools', 'projects', 'demo') for f in (ROOT / d).rglob('*.py')
    ]
    assert len(files) > 200
    found = {}
    for file in files:
        calls = list(calls_that_run_code(file.read_text(encoding='utf-8')))
        if calls:
            found[file.relative_to(ROOT).as_posix()] = calls
    written = 'tools/reliability/bad_files.py'  # the bad files themselves
    assert {name: calls for name, calls in found.items() if name != written} == ASKED_FOR
