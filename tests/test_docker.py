"""The Dockerfiles name files that exist, keep hadolint's rules, and copy what a build needs.

No image is built here: that needs a Docker daemon.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / 'docker').glob('Dockerfile*'))


def instructions(path):
    """Instructions as pairs of name and arguments, with continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith('#')]
    joined = re.sub(r'\\\n\s*', ' ', '\n'.join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def copied(path):
    """Sources in the build context that a Dockerfile copies."""
    arguments = [text.split() for name, text in instructions(path) if name == 'COPY']
    return [s for words in arguments if not words[0].startswith('--from=') for s in words[:-1]]


def in_context(source):
    """Whether .dockerignore keeps a path; the last pattern that matches decides."""
    kept = True
    for line in (ROOT / '.dockerignore').read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith('#'):
            keeps = pattern.startswith('!')
            if fnmatch.fnmatch(source, pattern.removeprefix('!').removeprefix('**/')):
                kept = keeps
    return kept


def test_there_is_one_for_the_cpu_and_one_for_cuda():
    assert [path.name for path in FILES] == ['Dockerfile', 'Dockerfile.cuda']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_files_that_are_copied_or_read_exist(path):
    sources = copied(path)
    assert {'mmtad_decomp', 'tools', 'configs', 'demo', 'requirements', 'setup.py'} <= {*sources}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert in_context(source), f'.dockerignore leaves out {source}'
    commands = ' '.join(text for name, text in instructions(path) if name == 'RUN')
    read = re.findall(r'requirements/[\w.-]+\.txt', commands)
    assert len(read) >= 3
    assert all((ROOT / name).is_file() for name in read)
    assert not in_context('.git') and not in_context('data') and not in_context('ops/_ext.so')


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_rules_of_hadolint(path):
    parsed = instructions(path)
    stages = [text for name, text in parsed if name == 'FROM']
    assert all(re.search(r':[\w.-]+( AS \w+)?$|^\$\{', stage) for stage in stages)  # DL3006
    for name, text in parsed:
        assert name in (
            'ARG',
            'FROM',
            'RUN',
            'ENV',
            'WORKDIR',
            'COPY',
            'USER',
            'ENTRYPOINT',
            'CMD',
        )
        if name == 'RUN':
            assert text.count('pip install') == text.count('--no-cache-dir')  # DL3042
            if 'apt-get install' in text:
                assert '--yes' in text and '--no-install-recommends' in text  # DL3014, DL3015
                assert 'apt-get update' in text and 'rm -rf /var/lib/apt/lists/*' in text  # DL3009
        if name == 'WORKDIR':
            assert text.startswith('/')  # DL3000
        if name in ('ENTRYPOINT', 'CMD'):
            assert isinstance(json.loads(text), list)  # DL3025
    users = [text for name, text in parsed if name == 'USER']
    assert users and users[-1] != 'root'  # DL3002
    assert ('ENTRYPOINT', '["mmtad"]') in parsed


def test_what_is_copied_is_enough_to_build(tmp_path):
    skip = shutil.ignore_patterns('__pycache__', '*.so')
    for source in copied(ROOT / 'docker/Dockerfile'):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / 'source' / source, ignore=skip)
        else:
            (tmp_path / 'source').mkdir(exist_ok=True)
            shutil.copy2(ROOT / source, tmp_path / 'source')
    command = [sys.executable, 'setup.py', '-q', 'bdist_wheel', '-d', str(tmp_path)]
    built = subprocess.run(
        command,
        cwd=tmp_path / 'source',
        env=os.environ | dict(MMTAD_WITH_OPS='0'),
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix('mmtad_decomp/.mim/') for name in archive.namelist()}
    assert {
        'tools/infer.py',
        'configs/custom/data.py',
        'demo/clip.mp4',
        'demo/student.pth',
    } <= names


def test_both_copy_the_same():
    first, second = (copied(path) for path in FILES)
    assert first == second
