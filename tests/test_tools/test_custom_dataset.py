"""The commands of docs/en/user_guides/custom_dataset.md, on few recordings, for one epoch."""

import importlib
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtad_decomp.annotations import load_annotations
from tools.data import convert

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/en/user_guides/custom_dataset.md'


def blocks(language):
    """Code blocks of the section that promises ten minutes."""
    section = PAGE.read_text().partition('## In ten minutes')[2].partition('\n## ')[0]
    return re.findall(rf'```{language}\n(.*?)```', section, flags=re.S)


@pytest.fixture
def project(tmp_path):
    """The project as a clone has it, with configs that a test may edit."""
    for name in ('data/grid_mini', 'mmtad_decomp', 'tools'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    return tmp_path


def run(command, capsys):
    """Run a command of the page in this process; returns what it prints."""
    python, tool, *arguments = command.split()
    assert python == 'python'
    module = importlib.import_module(tool.removesuffix('.py').replace('/', '.'))
    assert not module.main(arguments)
    return capsys.readouterr().out


def replace(path, pattern, text):
    content, count = re.subn(pattern, lambda _: text, path.read_text(), flags=re.M)
    assert count == 1, pattern
    path.write_text(content)


@pytest.mark.slow
def test_the_commands_lead_from_a_table_to_detections(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    (sample,) = blocks('python')
    sample, count = re.subn(r'KEEP = \d+', 'KEEP = 9', sample)
    assert count == 1
    exec(sample, {})
    commands = [line for block in blocks('shell') for line in block.splitlines()]
    assert len(commands) == 6
    out = run(commands[0], capsys)
    lines = out.partition('lines for configs/custom/data.py:\n')[2].splitlines()[:4]
    for line in lines:
        name = line.partition(' =')[0]
        replace(project / 'configs/custom/data.py', rf'^{name} = .*$', line)
    schedule = project / 'configs/_base_/schedules/scratch_4e.py'
    replace(schedule, r'max_epochs=4, val_interval=4', 'max_epochs=1, val_interval=1')
    loaded = load_annotations(project / 'data/custom/annotations.json')
    assert len(loaded.videos) == 9 and loaded.census.instances == 27
    outputs = [run(command, capsys) for command in commands[1:]]
    pictures = list((project / 'work_dirs/browse').glob('*.png'))
    assert len(pictures) == 6
    assert all(len(np.unique(cv2.imread(str(p)).reshape(-1, 3), axis=0)) > 50 for p in pictures)
    assert 'detections' in outputs[-1]
    written = {path.name for path in (project / 'detections').iterdir()}
    video = Path(commands[-1].split()[2]).stem
    assert written == {'detections.json', 'detections.csv', f'{video}.png'}


def test_the_page_names_the_formats_and_options_that_there_are(capsys):
    text = PAGE.read_text()
    with pytest.raises(SystemExit, match=r'^0$'):
        convert.main(['--help'])
    known = set(re.findall(r'--[a-z-]+', capsys.readouterr().out))
    named = set(re.findall(r'`(--[a-z-]+)', text))
    assert named and named <= known
    for name in ('ELAN', 'VIA 3', 'CVAT', 'Label Studio', 'BORIS'):
        assert f'| {name}' in text
