"""tools/env.sh, which sets up the environment: what it refuses, removes, repeats and says."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENV = ROOT / 'tools' / 'env.sh'


def shell(command: str, **environment: object) -> subprocess.CompletedProcess:
    """Run a command of bash after env.sh; output and errors are one text."""
    unset = dict.fromkeys(('PYTHON', 'MMTAD_VENV', 'MMTAD_WITH_OPS', 'CXX'))
    variables = {k: v for k, v in os.environ.items() if k not in unset}
    return subprocess.run(
        ['bash', '-c', f'set -euo pipefail; source "{ENV}"; {command}'],
        env=variables | {k: str(v) for k, v in environment.items()},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def make_python(file: Path, version: str = '3.12.1', refuses: str = 'nothing') -> Path:
    """A script in place of Python that exits with 1 if its arguments hold ``refuses``.

    As ``python -m venv FOLDER`` it writes ``FOLDER/pyvenv.cfg``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        '#!/bin/sh\n'
        f'case "$*" in\n*{refuses}*) exit 1;;\n--version) echo Python {version};;\n'
        '"-m venv "*) echo made >"$3/pyvenv.cfg";;\nesac\n'
    )
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ('python', 'message'),
    [
        ('no-such-python', "no-such-python' was not found"),
        ('old-python', 'but 3.10 or later is needed'),
        ('bare-python', 'its venv module is missing'),
    ],
)
def test_a_python_that_will_not_do(tmp_path, python, message):
    make_python(tmp_path / 'old-python', refuses='version_info')
    make_python(tmp_path / 'bare-python', refuses='venv')
    venv = tmp_path / 'venv'
    result = shell('setup_env lite', PYTHON=tmp_path / python, MMTAD_VENV=venv)
    assert result.returncode == 1
    assert message in result.stdout
    assert not venv.exists()


@pytest.mark.parametrize('content', ['data', 'environment without pip', 'file'])
def test_a_folder_of_something_else_is_kept(tmp_path, content):
    venv = tmp_path / 'venv'
    if content == 'file':
        venv.write_text('precious')
    else:
        kept = venv / ('pyvenv.cfg' if 'pip' in content else 'videos/a.mp4')
        kept.parent.mkdir(parents=True)
        kept.write_text('precious')
        if 'pip' in content:
            make_python(venv / 'bin' / 'python', refuses='pip')
    python = make_python(tmp_path / 'python')
    before = sorted(tmp_path.rglob('*'))
    result = shell('create_venv', PYTHON=python, MMTAD_VENV=venv)
    assert result.returncode == 1
    assert f"'{venv}' exists, but has no Python with pip" in result.stdout
    assert 'name another folder: MMTAD_VENV=' in result.stdout
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('made', [None, 'empty', 'mmtad-created', 'mmtad-lite.stamp'])
def test_an_environment_is_made_anew(tmp_path, made):
    venv = tmp_path / 'a venv'
    if made is not None:
        venv.mkdir()
    if made not in (None, 'empty'):
        (venv / 'lib').mkdir()
        (venv / 'lib' / 'left').touch()
        (venv / made).touch()
    result = shell('create_venv', PYTHON=make_python(tmp_path / 'python'), MMTAD_VENV=venv)
    assert (result.returncode, result.stdout) == (
        0,
        f'[setup] creating {venv} with Python 3.12.1\n',
    )
    assert sorted(file.name for file in venv.iterdir()) == ['mmtad-created', 'pyvenv.cfg']


@pytest.mark.parametrize(
    ('refuses', 'version', 'code', 'message'),
    [
        ('nothing', '3.11.7', 0, ''),
        ('nothing', '3.12.1', 0, "' is of Python 3.11.7 and stays so: PYTHON="),
        (
            'version_info',
            '3.11.7',
            1,
            "' is of Python 3.11.7, but 3.10 or later is needed. Remove it",
        ),
    ],
)
def test_the_python_of_an_environment_that_is_there(tmp_path, refuses, version, code, message):
    make_python(tmp_path / 'venv' / 'bin' / 'python', '3.11.7', refuses)
    python = make_python(tmp_path / 'python', version)
    result = shell('create_venv', PYTHON=python, MMTAD_VENV=tmp_path / 'venv')
    assert result.returncode == code
    assert message in result.stdout and bool(message) == bool(result.stdout)


SET_UP = """
PROJECT_ROOT={folder}
create_venv() {{ :; }}; choose_constraints() {{ CONSTRAINTS=constraints.txt; }}
fingerprint() {{ echo "${{SOURCES:-same}}"; }}
has_compiler() {{ [ -f compiler ]; }}
install_lite() {{
    say installs
    [ ! -f compiler ] || [ -f broken ] || touch mmtad_decomp/_ext.so
}}
setup_env lite
"""


def test_a_compiler_that_comes_later_compiles_the_operators(tmp_path):
    (tmp_path / 'mmtad_decomp' / 'ops' / 'csrc').mkdir(parents=True)
    (tmp_path / 'venv').mkdir()

    def set_up(**environment):
        result = shell(SET_UP.format(folder=tmp_path), MMTAD_VENV=tmp_path / 'venv', **environment)
        assert result.returncode == 0, result.stdout
        return 'installs' in result.stdout, result.stdout

    missing = 'no C++ compiler was found, so the operators are not compiled'
    for installs in (True, False):
        installed, output = set_up()
        assert installed == installs and missing in output and 'apt install g++' in output
    (tmp_path / 'compiler').touch()
    installed, output = set_up(MMTAD_WITH_OPS='0')
    assert not installed and 'operators' not in output
    (tmp_path / 'broken').touch()
    stamp = tmp_path / 'venv' / 'mmtad-failed-build.stamp'
    retry = f"with another compiler or other sources, or after rm '{stamp}'"
    other = make_python(tmp_path / 'other', '13.2')
    for environment, installs in (
        ({}, (True, False)),
        (dict(CXX=f'{other} -O3'), (True, False)),
        (dict(CXX=f'{other} -O2'), (True,)),
        (dict(SOURCES='changed'), (True, False)),
    ):
        for expected in installs:
            installed, output = set_up(**environment)
            assert installed == expected, (environment, output)
            assert 'the operators could not be compiled, see ' in output and retry in output
    make_python(other, '13.3')
    assert set_up(CXX=other)[0] and not set_up(CXX=other)[0]
    (tmp_path / 'broken').unlink()
    assert not set_up(CXX=other)[0]
    stamp.unlink()
    for installs in (True, False):
        installed, output = set_up(CXX=other)
        assert installed == installs and 'operators' not in output


@pytest.mark.parametrize(
    ('compiler', 'found'), [('bash -O3', True), ('no-such-compiler -O3', False)]
)
def test_the_compiler_that_cxx_names(compiler, found):
    assert (shell('has_compiler', CXX=compiler).returncode == 0) == found
