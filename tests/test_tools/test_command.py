"""The console command ``mmtad``."""

import importlib
from pathlib import Path

import pytest

import mmtad

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_leads_to_a_tool_with_a_main():
    names = [line.split()[1:3] for line in mmtad.__doc__.splitlines() if '    mmtad ' in line]
    assert len(names) == 8
    for first, second in names:
        words = [first, second] if first == 'data' and second != 'NAME' else [first]
        words = ['data', 'grid'] if second == 'NAME' else words
        module, name, rest = mmtad.find_tool([*words, 'x'], ROOT)
        assert callable(importlib.import_module(module).main)
        assert name == ' '.join(words) and rest == ['x']


def test_arguments_go_to_the_tool(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        mmtad.main(['data', 'convert', '--help'])
    assert end.value.code == 0
    assert 'usage: mmtad data convert' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['dance'], "mmtad has no command 'dance'"),
        (['data'], 'mmtad data takes one of convert'),
        (['data', 'none'], "not 'none'"),
        (['infer'], 'name at least one video'),
        (['train', 'configs/baseline/none.py'], 'configs/baseline/none.py does not exist'),
    ],
)
def test_mistakes_are_one_sentence(words, sentence, capsys):
    assert mmtad.main(words) == 2
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith('error: '))
    assert sentence in line


def test_configs_of_the_package_where_the_folder_has_none(tmp_path, monkeypatch):
    name = 'configs/custom/student.py'
    monkeypatch.chdir(tmp_path)
    assert mmtad.find_config(name, ROOT) == str(ROOT / name)
    assert mmtad.find_config('other.py', ROOT) == 'other.py'
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert mmtad.find_config(name, ROOT) == name


def test_help_lists_the_commands(capsys):
    assert mmtad.main(['--help']) == 0
    assert 'mmtad data convert LABELS' in capsys.readouterr().out
    assert mmtad.main([]) == 2
