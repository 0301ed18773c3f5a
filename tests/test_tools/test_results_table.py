"""Result tables from the logs of trainings."""

import json
from pathlib import Path

import pytest

from tools.analysis_tools import results_table


def write_run(work_dir: Path, maps: dict[str, float]) -> None:
    (work_dir / 'config.py').parent.mkdir(parents=True)
    (work_dir / 'config.py').write_text("randomness = dict(seed=3)\nname = 'x'\n")
    first = [dict(loss=1.0, time=2.0, step=10), dict(loss=0.9, time=2.0, step=20)]
    second = [
        dict(loss=0.9, time=2.0, step=20),
        dict(loss=0.5, time=100.0, step=30),
        {f'tad/{key}': value for key, value in maps.items()} | dict(step=2),
    ]
    for name, records in (('1', first), ('2', second)):
        file = work_dir / name / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(json.dumps(record) for record in records))


def test_table(tmp_path, capsys):
    maps = {'mAP': 0.25, 'mAP_0.1:0.5': 0.25, 'mAP@0.1': 0.3, 'mAP@0.5': 0.125}
    write_run(tmp_path / 'a', maps)
    out = tmp_path / 'table.json'
    row = ['--row', f'RGB={tmp_path / "a"}', '--groups', '0.1:0.5']
    results_table.main([*row, '--json', str(out)])
    run = json.loads(out.read_text())['RGB']
    assert run == dict(metrics=maps, epochs=2, steps=30, train_minutes=1.0, seed=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '| system | mAP 0.1:0.5 | 0.1 | 0.5 | training, minutes |'
    assert lines[2] == '| RGB | 25.0 | 30.0 | 12.5 | 1.0 |'


def test_unfinished_training(tmp_path):
    with pytest.raises(FileNotFoundError, match='no logged validation'):
        results_table.read_run(tmp_path)
