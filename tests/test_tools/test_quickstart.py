"""The driver of the quickstart; the run itself takes minutes and is the README's first command."""

import json
import sys

import pytest
from mmengine.config import Config

from tools import quickstart


def test_run_shows_epochs_and_keeps_the_log(tmp_path, capsys):
    lines = [
        'INFO - Epoch(train) [1][20/71]  lr: 1.0e-03  loss: 0.9  loss_cls: 0.5',
        'INFO - Epoch(train)  [2][71/71]  lr: 1.0e-03  loss: 0.7  loss_cls: 0.4',
    ]
    log = tmp_path / 'a' / 'train.log'
    quickstart.run([sys.executable, '-c', f'print({chr(10).join(lines)!r})'], log, 'train', 5)
    shown = capsys.readouterr().out
    assert 'train: epoch 2 of 5, loss 0.7' in shown and 'epoch 1' not in shown
    assert log.read_text().splitlines() == lines


def test_a_failed_step_shows_the_end_of_its_log(tmp_path):
    log = tmp_path / 'train.log'
    with pytest.raises(quickstart.StepFailed, match=r'exit code 3(.|\n)*train\.log(.|\n)*oops'):
        quickstart.run([sys.executable, '-c', 'print("oops"); exit(3)'], log, 'train')


def test_results_are_kept_until_something_changes(tmp_path, monkeypatch):
    path = quickstart.SYSTEMS['baseline'][0]
    monkeypatch.setattr(quickstart, 'OUT', tmp_path)
    mark = quickstart.fingerprint(Config.fromfile(path), 'data', '')
    folder = tmp_path / 'baseline'
    folder.mkdir()
    (folder / 'fingerprint').write_text(mark)
    (folder / 'result.json').write_text(json.dumps(dict(mAP=0.5)))
    assert quickstart.run_system('baseline', '[1/1]', 'data', '') == dict(mAP=0.5)

    def started(command, log, *rest):
        raise quickstart.StepFailed('started anew')

    monkeypatch.setattr(quickstart, 'run', started)
    with pytest.raises(quickstart.StepFailed, match='started anew'):
        quickstart.run_system('baseline', '[1/1]', 'other data', '')
    assert not (folder / 'result.json').exists()
