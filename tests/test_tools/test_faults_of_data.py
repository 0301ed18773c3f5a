"""Data and heads that do not fit, as a user meets them: by the commands, on a small data set."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import small_features
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from tools import test as test_tool
from tools import train as train_tool
from tools._cli import build_runner, load_config
from tools.analysis_tools import evaluate
from tools.command_line import run_main

GUIDES = Path(__file__).resolve().parents[2] / 'docs/en/user_guides'


def train(path, *options):
    """Exit code of a training into ``run`` beside the config."""
    more = ['--cfg-options', *options] if options else []
    return run_main(train_tool.main, [str(path), '--work-dir', str(path.parent / 'run'), *more])


def log_of(path, folder='run'):
    (log,) = (path.parent / folder).glob('*/*.log')
    return log.read_text()


def refusal(capsys, code):
    """The one sentence that a refused command writes."""
    text = capsys.readouterr().err
    assert code == 2 and text.count('\n') == 1, text
    return text


def weights(path):
    """A checkpoint of the config's untrained model."""
    torch.manual_seed(0)
    state = MODELS.build(Config.fromfile(path).model).state_dict()
    torch.save(dict(meta={}, state_dict=state), path.parent / 'epoch_1.pth')
    return str(path.parent / 'epoch_1.pth')


def no_instances(database):
    for video in database.values():
        if video['subset'] == 'validation':
            video['annotations'] = []


@pytest.mark.parametrize('classes', [2, 5])
def test_a_head_of_other_classes_is_refused_before_training(classes, tmp_path, capsys):
    path = small_features.write(tmp_path / 'data', classes=classes)
    text = refusal(capsys, train(path))
    assert f'model.head.num_classes is {classes}, but the data set has 3 classes: a, b, c' in text
    assert not (path.parent / 'run').exists()


def test_the_guides_config_trains_and_tests_on_verbs(tmp_path, capsys):
    """The file's ``classes`` are three labels; the verbs are two."""

    def verbs(database):
        for video in database.values():
            for item in video['annotations']:
                item['verb'] = 'open' if item.pop('label') == 'a' else 'close'
                item['noun'] = 'door'

    path = small_features.write(tmp_path / 'data', edit=verbs)
    page = (GUIDES / 'datasets.md').read_text(encoding='utf-8')
    blocks = re.findall(r'```python\n(.*?)```', page, flags=re.S)
    [block] = [block for block in blocks if 'label_fields' in block]
    for number, place in ((97, 'wrong.py'), (2, 'right.py')):
        text = block.replace('./features.py', './config.py').replace('97', str(number))
        (path.parent / place).write_text(text)
    said = refusal(capsys, train(path.parent / 'wrong.py'))
    assert 'num_classes is 97, but the data set has 2 classes: close, open' in said
    assert train(path.parent / 'right.py') == 0
    assert 'tad/mAP: ' in log_of(path)
    checkpoint = path.parent / 'run' / 'epoch_1.pth'
    arguments = [str(path.parent / 'right.py'), str(checkpoint), '--work-dir', str(tmp_path / 't')]
    found = tmp_path / 'found.json'
    assert 'tad/mAP' in test_tool.main([*arguments, '--dump-json', str(found)])
    results = json.loads(found.read_text())['results'].values()
    assert {item['label'] for items in results for item in items} == {'open', 'close'}


def test_candidates_that_nothing_names_are_refused_before_testing(tmp_path, capsys):
    path = small_features.write(tmp_path / 'data', classes=1)
    flags = ['--dump-json', str(tmp_path / 'found.json'), '--work-dir', str(tmp_path / 'test')]
    code = run_main(test_tool.main, [str(path), weights(path), *flags])
    assert 'no classifier names its candidates: all would be called "a"' in refusal(capsys, code)
    assert not (tmp_path / 'found.json').exists()


def test_features_of_another_stride_are_refused_before_training(tmp_path, capsys):
    path = small_features.write(tmp_path / 'data', keep=2)
    text = refusal(capsys, train(path))
    assert 'features of 5 of 5 videos do not cover their video' in text
    assert 'set `feature_stride`' in text and not list((path.parent / 'run').glob('*.pth'))


def test_instances_that_no_point_stands_for_are_counted(tmp_path):
    def shorten(database):
        for video in database.values():
            spans = [('a', 5.01, 5.06), ('b', 8.0, 8.02)]
            video['annotations'] = [dict(segment=[s, e], label=name) for name, s, e in spans]

    path = small_features.write(tmp_path / 'data', edit=shorten)
    assert train(path) == 0
    assert '10 of 10 instances get no target at this stride' in log_of(path)


def test_a_training_is_not_evaluated_without_ground_truth(tmp_path, capsys):
    """It is refused before it starts; ``--no-validate`` trains, with ``num_workers=0`` too."""
    path = small_features.write(tmp_path / 'data', edit=no_instances)
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.persistent_workers and cfg.val_dataloader.persistent_workers
    text = refusal(capsys, train(path, 'default_hooks.checkpoint.save_best=tad/mAP'))
    assert "subset 'validation' has no instance" in text and '--no-validate' in text
    work_dir = path.parent / 'run'
    assert not list(work_dir.glob('*.pth'))
    command = [str(path), '--work-dir', str(work_dir), '--no-validate']
    assert run_main(train_tool.main, command) == 0
    assert [file.name for file in work_dir.glob('*.pth')] == ['epoch_1.pth']


def test_all_ways_of_evaluation_agree_that_there_is_no_number(tmp_path, capsys):
    path = small_features.write(tmp_path / 'data', edit=no_instances)
    found, checkpoint = tmp_path / 'found.json', weights(path)
    sentence = 'there is no ground truth, so that mAP and recall have no value (NaN)'
    for metric, flags in (
        ('TADMetric', ['--dump-json', str(found)]),
        ('ProposalMetric', ['--cfg-options', 'test_evaluator.type=ProposalMetric']),
    ):
        work_dir = tmp_path / metric
        arguments = [str(path), checkpoint, '--work-dir', str(work_dir), *flags]
        path.write_text(path.read_text().replace("name = 'small", f"name = '{metric}_small"))
        results = test_tool.main(arguments)
        assert results and all(np.isnan(value) for value in results.values())
        (log,) = work_dir.glob('*/*.log')
        assert log.read_text().count(sentence) == 1
    annotations = str(path.parent / 'annotations.json')
    content = evaluate.main([str(found), annotations, '--subset', 'validation', '--proposals'])
    result = content['results']['label']
    assert result['average_mAP'] is None and result['AUC'] is None
    assert set(result['mAP'].values()) == {None} and sentence in result['warnings']
    assert json.loads(found.read_text())['results'].keys() == {'v5', 'v6'}
    assert sentence in capsys.readouterr().out


def test_validation_alone_runs_and_a_wrong_name_of_the_best_does_not(tmp_path, capsys):
    path = small_features.write(tmp_path / 'data')
    arguments = [str(path), '--work-dir', str(tmp_path / 'val')]
    results = build_runner(load_config(train_tool.parse_args(arguments))).val()
    assert set(results) > {'tad/mAP', 'tad/mAP@0.5'}
    path.write_text(path.read_text().replace("name = 'small", "name = 'wrong_small"))
    capsys.readouterr()
    text = refusal(capsys, train(path, 'default_hooks.checkpoint.save_best=tad/mAp'))
    assert 'tad/mAp' in text and 'tad/mAP' in text


def test_a_backend_without_its_package_is_one_sentence(tmp_path, capsys, monkeypatch):
    for name in ('torch.utils.tensorboard', 'tensorboardX'):
        monkeypatch.setitem(__import__('sys').modules, name, None)
    path = small_features.write(tmp_path / 'data')
    text = refusal(capsys, train(path, 'visualizer.vis_backends.0.type=TensorboardVisBackend'))
    assert 'tensorboard' in text and 'pip install' in text
